"""KernelHandle: the typed syscall table bound to one principal."""
