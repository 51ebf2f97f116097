/**
 * Rules of POSIX that NFSv3, or this server because of it, cannot keep; each with the reason. The conformance suite holds the
 * table to be true: a rule that is kept after all fails the test. `cowfs/README.md` shows the same table to users.
 */
const noOpen = "NFSv3 has no open: a client renames what it has open to `.nfs…` and removes it when it is closed";
const noExtended = "NFSv3 has no extended attributes";
const noTransaction = "a request is a transaction of its own, and its key is the server's";

export const nfsLimits: Readonly<Record<string, string>> = {
  "chmod: bits beyond 07777 are invalid": "the server takes the permission bits and ignores others, as nfsd does",
  "chown: file capabilities fall": noExtended,
  "content: no size is negative": "a size is unsigned on the wire",
  "content: only files have content": "READ and WRITE of a directory are INVAL: their lists of errors have no ISDIR",
  "content: a write takes file capabilities, even root's": noExtended,
  "create: createFile in a directory that was removed while open finds no directory": noOpen,
  "create: createDirectory in a directory that was removed while open finds no directory": noOpen,
  "create: createSymlink in a directory that was removed while open finds no directory": noOpen,
  "create: createSpecial fifo in a directory that was removed while open finds no directory": noOpen,
  "create: createSpecial socket in a directory that was removed while open finds no directory": noOpen,
  "create: an empty name is none": "an empty name is NOENT, as open(2) of an empty path is",
  "create: a link does not lead to an empty name": "SYMLINK's list of errors has no NOENT: an empty target is INVAL",
  "create: unchecked creation finds a directory under a dot": "the dots are EXIST to every procedure that makes a name",
  "extended: what was set is got and listed, until it is removed": noExtended,
  "extended: create wants none, replace wants one": noExtended,
  "extended: user attributes follow the file's permissions": noExtended,
  "extended: user attributes are for files and directories": noExtended,
  "extended: trusted attributes exist for root alone": noExtended,
  "extended: security attributes are set by root and read by all": noExtended,
  "extended: other namespaces do not exist, and names and values have an end": noExtended,
  "extended: a value of more than 64 KiB is none": noExtended,
  "extended: an empty name has no namespace": noExtended,
  "extended: they move ctime": noExtended,
  "link: a file that lost its last name gets none again": noOpen,
  "rename: a directory that was removed while open takes nothing in": noOpen,
  "rename: what was replaced lives on while it is open": noOpen,
  "times: any second before or after 1970 keeps its nanoseconds": "seconds are unsigned 32-bit: 1970 to 2106",
  "times: a billion nanoseconds are no time": "a fraction of a nanosecond is not on the wire; a billion is refused",
  "transactions: a reply is found again under its key, and only when the change was made": noTransaction,
  "transactions: what fails late takes everything before it back": noTransaction,
  "transactions: an unlinked file that comes back is whole": noTransaction,
  "transactions: flushing and syncing succeed, and keep the write verifier": "the lineage is not shown to clients",
  "unlink: a file that is open lives on without a name, until the last release": noOpen,
  "unlink: dots are no names to remove": "REMOVE of a dot is INVAL, RMDIR of `..` EXIST (RFC 1813 section 3.3.13)",
  "unlink: a removed directory that is open is empty and has no links": noOpen,
};
