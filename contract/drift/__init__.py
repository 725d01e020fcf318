"""A host compared with its recordings night after night, and since when each difference has been
there.
"""
