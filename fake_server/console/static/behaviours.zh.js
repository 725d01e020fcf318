export const behaviours = {};
