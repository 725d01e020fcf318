"""What a picture is drawn from, and the text that Stable Diffusion WebUI writes into its PNG about
it.
"""

import hashlib
import json
from dataclasses import dataclass

# Dify's Stable Diffusion tool asks for both by name, whatever the workflow says.
_SAMPLER = "DPM++ SDE Karras"
_CFG_SCALE = 7


@dataclass(frozen=True, slots=True)
class Picture:
    """The record kept of a finished drawing; equal records are equal pictures, to the pixel."""

    prompt: str
    model: str
    seed: int
    width: int = 512
    height: int = 512
    steps: int = 20
    negative_prompt: str = ""


def fingerprint(picture: Picture) -> bytes:
    """32 bytes that change with anything the picture is made from, its size apart."""
    parts = (picture.prompt, picture.model, picture.seed, picture.steps, picture.negative_prompt)
    return hashlib.sha256(json.dumps(parts).encode("ascii")).digest()


def parameters(picture: Picture) -> str:
    """The text of the `parameters` chunk.

    The form is WebUI's `create_infotext`: the prompt, a line for the negative prompt unless that is
    empty, a line of `Key: value` pairs, and no white space around the whole. What Unicode or PNG
    does not allow becomes U+FFFD.
    """
    pairs = {
        "Steps": picture.steps,
        "Sampler": _SAMPLER,
        "CFG scale": _CFG_SCALE,
        "Seed": picture.seed,
        "Size": f"{picture.width}x{picture.height}",
        "Model hash": hashlib.sha256(picture.model.encode("utf-8", "surrogatepass")).hexdigest()[
            :10
        ],
        "Model": _quoted(picture.model),
    }
    negative = f"\nNegative prompt: {picture.negative_prompt}" if picture.negative_prompt else ""
    settings = ", ".join(f"{key}: {value}" for key, value in pairs.items())
    return _writable(f"{picture.prompt}{negative}\n{settings}".strip())


def _quoted(value: str) -> str:
    """WebUI's `quote`: a value that holds one of its own separators is written as a JSON string."""
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",\n:") else value


def _writable(text: str) -> str:
    """`text` without NUL, which would end a PNG text early, and without lone surrogates, which
    UTF-8 cannot say.
    """
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
