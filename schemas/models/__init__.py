"""One pydantic model a file for each record of the wire: strict, frozen, its .avsc's fields in order.

Hot paths work on the dictionaries of `schemas.codec`; the models are for edges, tools and tests.
"""
