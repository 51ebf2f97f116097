/** Layers of one directory, with what the layers' own `.mount` files bring in. */
export const maxBranches = 64;
/** Mounted layers around a directory, one in the other. */
export const maxNesting = 16;
