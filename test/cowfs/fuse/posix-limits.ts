/**
 * Rules of the conformance suite that system calls cannot put to a mount, or that the kernel answers in its own way before it
 * asks us. The suite holds the table to be true: a rule that is kept after all fails the test.
 */
const noAccess = "access(2) of effective ids is the kernel's alone: it never asks us";
const atOpen =
  "the kernel checks at open(2) what NFS checks at each read and write, and gives an owner no more than its mode";
const twoCalls = "open(2), chown(2) and chmod(2) are system calls of their own";
const noTransaction = "no system call has a transaction";
const noCookie = "Node's readdir shows no cookies";
const notANumber = "neither Node nor the system call can carry the number";

export const fuseLimits: Readonly<Record<string, string>> = {
  "access: uid 1000 has 1 of a file of mode 400": noAccess,
  "access: uid 1000 has 1100 of a file of mode 200": noAccess,
  "access: uid 1000 has 100000 of a file of mode 100": noAccess,
  "access: uid 1000 has 0 of a file of mode 77": noAccess,
  "access: uid 1001 has 1 of a file of mode 40": noAccess,
  "access: uid 1001 has 0 of a file of mode 707": noAccess,
  "access: uid 1002 has 0 of a file of mode 770": noAccess,
  "access: uid 1002 has 1101 of a file of mode 6": noAccess,
  "access: uid 0 has 1101 of a file of mode 0": noAccess,
  "access: uid 0 has 101101 of a file of mode 1": noAccess,
  "access: a directory is looked up in and deleted from, not executed": noAccess,
  "access: reading needs read or execute permission, or owning the file": atOpen,
  "access: writing needs write permission, or owning the file": atOpen,
  "access: anyone reads a link's target, and only a link's":
    "readlinkat(2) of a descriptor that is no link's is ENOENT",
  "access: the root is its own parent, and dots find their way": "`..` of a mount is the directory above it",
  "chmod: bits beyond 07777 are invalid": "chmod(2) ignores them",
  "chown: a set-ID mode in the same change falls too": twoCalls,
  "chown: 2^32 - 1 is nobody's number": "to chown(2) it means: leave it",
  "content: and no further": notANumber,
  "content: no size is negative": "ftruncate of Node takes it for 0",
  "content: truncating needs write permission, or owning the file": atOpen,
  "content: only files have content": "pread(2) of a fifo is ESPIPE",
  "content: a write by anyone but root takes set-ID bits, and so does a truncation":
    "FUSE keeps set-group-ID without group execution (FUSE_HANDLE_KILLPRIV_V2): it does not tell the caller's groups",
  "create: root makes files for others, others only for themselves": twoCalls,
  "create: files, directories and links are not made as special files": "mknod(2) makes regular files",
  "create: unchecked creation takes the file that is there and sets nothing but its size": atOpen,
  "create: unchecked creation takes nothing but files": "open(2) follows links",
  "create: exclusive creation is answered again to the same verifier until the file is changed":
    "open(2) has no verifier",
  "extended: a value of more than 64 KiB is none": "setxattr(2) answers E2BIG",
  "extended: an empty name has no namespace": "setxattr(2) of an empty name is ERANGE",
  "list: removing what was seen skips and repeats nothing": noCookie,
  "list: a cookie goes on where it did, also after its entry is gone": noCookie,
  "rename: dots are neither moved nor replaced": "rename(2) of a dot is EBUSY",
  "times: a billion nanoseconds are no time": notANumber,
  "times: what is made has one time, and so has the directory it is made in": twoCalls,
  "transactions: a reply is found again under its key, and only when the change was made": noTransaction,
  "transactions: what fails late takes everything before it back": noTransaction,
  "transactions: an unlinked file that comes back is whole": noTransaction,
  "transactions: flushing and syncing succeed, and keep the write verifier": noTransaction,
};
