"""The recurrence as machine code, compiled by LLVM for this processor when it is first needed; needs llvmlite.

docs/machine-code.md explains how it works and how to change it.
"""
