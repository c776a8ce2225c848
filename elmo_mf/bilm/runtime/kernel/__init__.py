"""The recurrence as machine code, made by LLVM for this processor when it is first needed; needs llvmlite."""
