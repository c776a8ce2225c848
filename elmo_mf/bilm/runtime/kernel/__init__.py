"""The recurrence as machine code, made by LLVM for this processor when it is first needed; needs llvmlite.

docs/machine-code.md explains how it works and how to change it.
"""
