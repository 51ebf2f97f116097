/**
 * The ways in which user-space NFS servers are known to fail (DESIGN 5), the care that keeps ours from each, and the test
 * that fails without it.
 *
 * A care is switched off by a change of the source: `npm run soak -- cares` makes one after the other in a copy and sees the
 * named test fail. `cares.test.ts` sees that the sources and the tests still say what stands here.
 */
export interface Care {
  /** What other servers do. */
  readonly pitfall: string;
  readonly file: string;
  /** Occurs once in the file; put in its place, `without` switches the care off. */
  readonly care: string;
  readonly without: string;
  /** Its file, and a part of its title. */
  readonly test: readonly [file: string, title: string];
}

const nfs = "cowfs/nfs";
const tests = "test/cowfs/nfs";

export const cares: readonly Care[] = [
  {
    pitfall: "a cache of handles that forgets: ESTALE",
    file: `${nfs}/handles.ts`,
    care: "if (this.#ids[slot] !== id) {",
    without: "if (this.#ids[slot] === -1) {",
    test: [`${tests}/handles.test.ts`, "also when the MAC cache is overrun"],
  },
  {
    pitfall: "a generation in handles that is new with each start of the server",
    file: `${nfs}/handles.ts`,
    care: "this.#lineageLow = lineage.readUInt32BE(4);",
    without: "this.#lineageLow = Math.floor(Math.random() * 2 ** 32);",
    test: [`${tests}/handles.test.ts`, "handles outlive the rename of an ancestor and a new server"],
  },
  {
    pitfall: "handles that break when an ancestor is renamed",
    file: `${nfs}/procedures/rename.ts`,
    care: "writeChangeData(service, reply, toBefore, to);",
    without:
      "writeChangeData(service, reply, toBefore, to);\n    service.handles.read = () => { throw new Error('a path that is gone'); };",
    test: [`${tests}/handles.test.ts`, "handles outlive the rename of an ancestor and a new server"],
  },
  {
    pitfall: "strict cookie verifiers, over which Linux livelocks",
    file: `${nfs}/procedures/list-directory.ts`,
    care: "  args.readUint64();\n  return { directory, cookie };",
    without: "  if (args.readUint64() !== 0) throw badCookie;\n  return { directory, cookie };",
    test: [`${tests}/directories.test.ts`, "takes any verifier, and cookies that no longer name an entry"],
  },
  {
    pitfall: "cookies that end with the entry that they named",
    file: "cowfs/journals/entries.ts",
    care: "this.#order = this.#order.filter((entry) => this.#byName.get(entry.name) === entry);",
    without:
      "this.#order = this.#order.filter((entry) => this.#byName.get(entry.name) === entry).map((entry, index) => Object.assign(entry, { cookie: index + 1 }));",
    test: ["test/cowfs/journals/entries.test.ts", "entries are those of a plain table in the order of their cookies"],
  },
  {
    pitfall: "READDIRPLUS replies over maxcount",
    file: `${nfs}/procedures/list-directory.ts`,
    care: "const bytes = entryBytes + nameBytes + (plus ? plusBytes : 0);",
    without: "const bytes = entryBytes + nameBytes;",
    test: [`${tests}/directories.test.ts`, "READDIRPLUS gives every name once in pages that never exceed"],
  },
  {
    pitfall: "empty pages without eof",
    file: `${nfs}/procedures/list-directory.ts`,
    care: "if (!complete && page.count === 0) throw tooSmall;",
    without: "",
    test: [`${tests}/directories.test.ts`, "answers TOOSMALL where no entry fits, and not an empty page"],
  },
  {
    pitfall: "READDIR missing beside READDIRPLUS",
    file: `${nfs}/procedures/nfs-program.ts`,
    care: "    readDirectory,\n",
    without: "    nullProcedure,\n",
    test: [`${tests}/directories.test.ts`, "READDIR gives every name once in pages that never exceed"],
  },
  {
    pitfall: "a duplicate request cache keyed by source port",
    file: `${nfs}/execution.ts`,
    care: "computeRequestKey(this.bootEpoch, call, message.memory, message.end) : undefined;",
    without:
      "(computeRequestKey(this.bootEpoch, call, message.memory, message.end).slice(4) + connection.peer.port.toString(16).padStart(4, '0')) : undefined;",
    test: [`${tests}/exactly-once.test.ts`, "REMOVE sent again gets its first reply"],
  },
  {
    pitfall: "a duplicate request cache that does not know what is in progress",
    file: `${nfs}/execution.ts`,
    care: "const underWay = waiting.find(key);",
    without: "const underWay = Math.random() > 2 ? waiting.find(key) : undefined;",
    test: [`${tests}/exactly-once.test.ts`, "a request under way is not started again"],
  },
  {
    pitfall: "a duplicate request cache that is lost at restart",
    file: "cowfs/union/union.ts",
    care: "return this.core.journal.state.replies.get(key);",
    without: "return performance.now() < 0 ? this.core.journal.state.replies.get(key) : undefined;",
    test: [`${tests}/killed-server.test.ts`, "does nothing twice that is sent again"],
  },
  {
    pitfall: "EXCLUSIVE creates without their 8 persistent verifier bytes",
    file: "cowfs/journals/changes.ts",
    care: 'this.name(inode.verifier === undefined ? "" : inode.verifier.toString(16));',
    without: 'this.name("");',
    test: ["test/cowfs/journals/changes.test.ts", "changes are read as they were written"],
  },
  {
    pitfall: "EXCLUSIVE creates that any verifier repeats",
    file: "cowfs/union/creating.ts",
    care: 'if (mode.kind === "exclusive" && core.find(known)?.verifier === mode.verifier) return known;',
    without: 'if (mode.kind === "exclusive") return known;',
    test: [`${tests}/posix-rules.test.ts`, "exclusive creation is answered again to the same verifier"],
  },
  {
    pitfall: "COMMIT that lies",
    file: `${nfs}/procedures/commit.ts`,
    care: "request.first = id;",
    without: "request.first = id;\n    request.stable = false;",
    test: [`${tests}/durability.test.ts`, "COMMIT is answered when it is on stable storage"],
  },
  {
    pitfall: "changes that are answered before they are on stable storage",
    file: `${nfs}/execution.ts`,
    care: '    request.stable = procedure.effect !== "change" || !this.#options.unsafeAsync;',
    without: '    request.stable = procedure.effect !== "change";',
    test: [`${tests}/durability.test.ts`, "RENAME is answered when it is on stable storage"],
  },
  {
    pitfall: "wcc attributes of before that are not of the moment before",
    file: `${nfs}/attributes.ts`,
    care: "  const attributes = service.fileSystem.getAttributes(id);\n  const { modified, changed } = attributes;",
    without:
      "  globalThis.stale ??= new Map();\n  if (!stale.has(id)) stale.set(id, { ...service.fileSystem.getAttributes(id) });\n  const attributes = stale.get(id);\n  const { modified, changed } = attributes;",
    test: [`${tests}/procedures.test.ts`, "attributes before a change are those that the change found"],
  },
  {
    pitfall: "eof off by one",
    file: `${nfs}/procedures/read.ts`,
    care: "reply.writeBoolean(count === countFrom(offset, size, count + 1));",
    without: "reply.writeBoolean(count < requested);",
    test: [`${tests}/procedures.test.ts`, "READ says eof exactly at the end"],
  },
  {
    pitfall: "SETATTR of size 0 that leaves what a copied-up file has below",
    file: "cowfs/union/changing-attributes.ts",
    care: 'else if (shorter) core.journal.apply({ kind: "cut", id, size });',
    without: 'else if (shorter && size > 0) core.journal.apply({ kind: "cut", id, size });',
    test: [
      "test/cowfs/union/layering.test.ts",
      "chmod, rename, link and the first write of a 1 GiB file move none of its bytes",
    ],
  },
  {
    pitfall: "EPERM where it is EACCES",
    file: `${nfs}/status.ts`,
    care: "  EACCES: Status.acces,",
    without: "  EACCES: Status.perm,",
    test: [`${tests}/procedures.test.ts`, "SETATTR tells EPERM and EACCES apart"],
  },
  {
    pitfall: "MOUNT's DUMP and UMNTALL unanswered",
    file: `${nfs}/procedures/mount-program.ts`,
    care: "procedures: [nullProcedure, mount, dump, unmount, unmountAll, listExports],",
    without: "procedures: [nullProcedure, mount],",
    test: [`${tests}/mount.test.ts`, "DUMP lists mounts, UMNT and UMNTALL take them off"],
  },
  {
    pitfall: "executing what a closed connection still had queued",
    file: `${nfs}/connection.ts`,
    care: "    this.isOpen = false;\n    this.#socket.destroy();",
    without: "    this.#socket.destroy();",
    test: [`${tests}/bounds.test.ts`, "what a closed connection had queued is not executed"],
  },
  {
    pitfall: "a slow change that is answered JUKEBOX and completed behind the client's back",
    file: `${nfs}/execution.ts`,
    care: "    this.#options.waiting.cancel(parked);\n",
    without: "",
    test: [`${tests}/faults.test.ts`, "a write that waits too long is answered JUKEBOX, and never done"],
  },
  {
    pitfall: "EIO on a root whose store is away",
    file: `${nfs}/lacks.ts`,
    care: "if (limitMs === Number.POSITIVE_INFINITY) return false;",
    without: "if (limitMs === Number.POSITIVE_INFINITY) return true;",
    test: [`${tests}/faults.test.ts`, "data that cannot be had is status 10008"],
  },
  {
    pitfall: "one client that starves the others",
    file: `${nfs}/connection.ts`,
    care: "      this.#waiting >= maxWaiting ||\n",
    without: "",
    test: [`${tests}/bounds.test.ts`, "no more than 256 requests of a connection wait"],
  },
  {
    pitfall: "uid 0 forged from an unprivileged port",
    file: `${nfs}/dispatcher.ts`,
    care: "if (this.#requirePrivilegedPort && connection.peer.port",
    without: "if (connection.peer.port < 0 && connection.peer.port",
    test: [`${tests}/mount.test.ts`, "calls from unprivileged ports are refused where the export says so"],
  },
];
