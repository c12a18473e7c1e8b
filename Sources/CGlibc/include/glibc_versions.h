/* Nothing to call: the linker's --wrap leads to these symbols. */
