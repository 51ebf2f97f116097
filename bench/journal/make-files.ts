/** Files as a client makes them: an inode, its bytes and a name, in one transaction. */
import { FileType } from "../../cowfs/file-system.ts";
import type { Journal } from "../../cowfs/journals/journal.ts";
import type { InodeFields } from "../../cowfs/journals/state.ts";

const time = { seconds: 1_800_000_000, nanoseconds: 123_456_789 };
const nothing = Buffer.alloc(0);
const data = Buffer.alloc(100, "x");
const perDirectory = 100;
const rootId = 2 ** 40;

function fields(id: number, mode: number, parent: number, size: number): InodeFields {
  return {
    id,
    mode,
    links: parent === 0 ? 1 : 0,
    uid: 1000,
    gid: 1000,
    size,
    deviceMajor: 0,
    deviceMinor: 0,
    accessed: time,
    modified: time,
    changed: time,
    parent,
    target: "",
    verifier: undefined,
  };
}

/** Makes files one by one, a hundred in each directory. */
export class FileMaker {
  readonly #journal: Journal;
  #parent = rootId;
  #made = 0;

  constructor(journal: Journal) {
    this.#journal = journal;
    this.#apply(() => journal.apply({ kind: "put", inode: fields(rootId, FileType.directory | 0o755, rootId, 0) }));
  }

  make(): void {
    const journal = this.#journal;
    const place = this.#made++ % perDirectory;
    if (place === 0) this.#makeDirectory();
    const id = journal.allocateInode();
    const { address, checksum } = journal.appendData(data);
    const extent = { offset: 0, length: data.length, address };
    this.#apply(() => {
      journal.apply({ kind: "put", inode: fields(id, FileType.regular | 0o644, 0, data.length) });
      journal.apply({ kind: "lay", id, extent, checksum });
      journal.apply({ kind: "enter", directory: this.#parent, name: `file-${this.#made}`, id, cookie: place + 1 });
    });
  }

  #makeDirectory(): void {
    const journal = this.#journal;
    const id = journal.allocateInode();
    this.#apply(() => {
      journal.apply({ kind: "put", inode: fields(id, FileType.directory | 0o755, rootId, 0) });
      const name = `directory-${this.#made}`;
      journal.apply({ kind: "enter", directory: rootId, name, id, cookie: Math.ceil(this.#made / perDirectory) + 1 });
    });
    this.#parent = id;
  }

  #apply(change: () => void): void {
    this.#journal.transact(undefined, () => {
      change();
      return nothing;
    });
  }
}
