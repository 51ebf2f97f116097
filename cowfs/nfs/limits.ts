/** The sizes that the server states in FSINFO and keeps to. */

/** The largest READ and WRITE, in bytes. */
export const maxTransferBytes = 1024 * 1024;
/** The largest READDIR or READDIRPLUS result, in bytes. */
export const maxDirectoryBytes = 1024 * 1024;
/** A good size for READDIR requests. */
export const preferredDirectoryBytes = 64 * 1024;
/** The largest message: a WRITE of the largest size with its headers. */
export const maxRecordBytes = maxTransferBytes + 4096;
export const maxNameBytes = 255;
/** PATH_MAX without its NUL. */
export const maxLinkTargetBytes = 4095;
