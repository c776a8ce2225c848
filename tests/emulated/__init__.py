"""The code that runs on a GPU, on a device that is emulated where there is none."""
