"""Other engines that hold or search collections; each is imported only when it is requested."""
