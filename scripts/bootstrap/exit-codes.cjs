"use strict";
/** The bootstrap's own exit codes, after sysexits(3); any other code is the started program's. */
module.exports = {
  /** The entry does not exist. */
  usage: 64,
  /** npm or apt could not install something: the network, the registry or the mirror. */
  unavailable: 69,
  /** Another installation in this checkout did not end in time. */
  locked: 75,
  /** Debian packages are missing and only root can install them; the command to run was printed. */
  needsRoot: 77,
};
