"""Figures of the code's structure: how large it is, how it hangs together, what one request passes
through.
"""
