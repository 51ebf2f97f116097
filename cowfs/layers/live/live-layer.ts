/**
 * A live layer as the union sees it: synchronous, over files that are asked for asynchronously.
 *
 * - (L1) What is not known, or no longer believed, is a Fault; bringing it asks the files and keeps the answer, failures
 *   too, so that the operation which runs again finds one or the other.
 * - (L2) An answer is believed for a second, or ten times as long as it took to get, whichever is longer: an operation
 *   needs several, and those that came first must still stand when the last one comes.
 * - (L3) An object keeps its inode number for the journal's life (number-table.ts), wherever it is moved to.
 * - (L4) When a change is answered, nothing is believed any more of what was known before of the objects that it
 *   touches, nor of what was being asked about them.
 *
 * It trusts the files for nothing but the objects they show: see check-found.ts.
 */
import { FileSystemError, XenoError } from "../../errors.ts";
import { Fault, type Need } from "../../fault.ts";
import type { Name, Time } from "../../file-system.ts";
import type { Layer } from "../layer.ts";
import { whiteout } from "../layer.ts";
import { isDirectory, isName, requireSane, sight } from "./check-found.ts";
import { blockBytes, ContentCache } from "./content-cache.ts";
import {
  type LiveAttributes,
  type LiveChange,
  type LiveFound,
  type LiveListing,
  type LiveObject,
  type LivePlace,
  type LiveSource,
  maxListedNames,
  whiteoutPrefix,
} from "./live-files.ts";
import { NumberTable, type Sighting } from "./number-table.ts";
import { asFileSystemError, type Keep, minValidityMs, Questions } from "./questions.ts";
import { TimedCache } from "./timed-cache.ts";

const maxCachedAttributes = 200_000;
const maxCachedNames = 200_000;
const maxCachedListings = 64;
const maxCachedBytes = 32 * 1024 * 1024;
/** Attributes that are brought along with one that is missing: a listing asks for all of them. */
const attributesAtOnce = 256;
const noAttributes: ReadonlyMap<Name, Buffer> = new Map();

type Listing = ReadonlyMap<Name, number>;
/** Of a change: the inode that was made, or -1, or why not. */
export type LiveOutcome = { readonly inode: number } | { readonly error: FileSystemError };

export class LiveLayer implements Layer {
  readonly id: string;
  readonly isLive = true;
  readonly isWritable: boolean;

  readonly #source: LiveSource;
  readonly #numbers: NumberTable;
  readonly #questions: Questions;
  readonly #attributes = new TimedCache<number, LiveAttributes>(maxCachedAttributes);
  readonly #names = new TimedCache<string, number>(maxCachedNames);
  readonly #listings = new TimedCache<number, Listing>(maxCachedListings);
  readonly #opaque = new TimedCache<number, boolean>(maxCachedNames);
  readonly #targets = new TimedCache<number, Name>(maxCachedNames);
  readonly #content = new ContentCache(maxCachedBytes);
  /** Which change was the last of an inode: what was asked before it is not kept (L4). */
  readonly #changedAt = new Map<number, number>();
  #changeCount = 0;

  private constructor(source: LiveSource, numbers: NumberTable, tag: string) {
    this.id = source.id;
    this.isWritable = source.isWritable;
    this.#source = source;
    this.#numbers = numbers;
    this.#questions = new Questions(tag);
  }

  /** `numbersFile` is the layer's in its journal; made when it is missing. */
  static async open(source: LiveSource, numbersFile: string, signal: AbortSignal): Promise<LiveLayer> {
    const root = await source.files.root(signal).catch((error) => {
      if (!(error instanceof FileSystemError)) throw error;
      throw new XenoError("layer-unusable", `${source.id} cannot be opened: ${error.message}`, { cause: error });
    });
    if (!isDirectory(root)) throw new XenoError("layer-unusable", `${source.id} is no directory`);
    const numbers = await NumberTable.open(numbersFile);
    try {
      await numbers.setRoot(root.identity);
      return new LiveLayer(source, numbers, `live ${numbersFile}`);
    } catch (error) {
      await numbers.close();
      throw error;
    }
  }

  /** Closes what is its own; the source is its opener's. */
  async close(): Promise<void> {
    await this.#numbers.close();
  }

  has(inode: number): boolean {
    return this.#numbers.has(inode);
  }

  attributes(inode: number): LiveAttributes {
    return (
      this.#attributes.get(inode) ??
      this.#questions.ask(`attributes ${inode}`, (signal) => this.#bringAttributes(inode, signal))
    );
  }

  mode(inode: number): number {
    return this.attributes(inode).mode;
  }

  uid(inode: number): number {
    return this.attributes(inode).uid;
  }

  gid(inode: number): number {
    return this.attributes(inode).gid;
  }

  links(inode: number): number {
    return this.attributes(inode).links;
  }

  size(inode: number): number {
    return this.attributes(inode).size;
  }

  used(inode: number): number {
    return this.attributes(inode).used;
  }

  deviceMajor(inode: number): number {
    return this.attributes(inode).deviceMajor;
  }

  deviceMinor(inode: number): number {
    return this.attributes(inode).deviceMinor;
  }

  modifiedSeconds(inode: number): number {
    return this.attributes(inode).modified.seconds;
  }

  modifiedNanoseconds(inode: number): number {
    return this.attributes(inode).modified.nanoseconds;
  }

  accessed(inode: number): Time {
    return this.attributes(inode).accessed;
  }

  changed(inode: number): Time {
    return this.attributes(inode).changed;
  }

  isOpaque(inode: number): boolean {
    return (
      this.#opaque.get(inode) ??
      this.#questions.ask(`opaque ${inode}`, async (signal) => {
        const opaque = await this.#source.files.isOpaque(this.#numbers.place(inode), signal);
        return (until) => this.#opaque.set(inode, opaque, until);
      })
    );
  }

  parent(directory: number): number {
    return this.#numbers.parent(directory);
  }

  nameOf(directory: number): Name {
    return this.#numbers.nameOf(directory);
  }

  find(directory: number, name: Name): number {
    if (name.startsWith(whiteoutPrefix)) return -1;
    const listing = this.#listings.get(directory);
    if (listing !== undefined) return listing.get(name) ?? -1;
    return (
      this.#names.get(this.#nameKey(directory, name)) ??
      this.#questions.ask(`name ${directory} ${name}`, (signal) => this.#bringName(directory, name, signal))
    );
  }

  visitEntries(directory: number, visit: (name: Name, inode: number) => void): void {
    const listing =
      this.#listings.get(directory) ??
      this.#questions.ask(`listing ${directory}`, (signal) => this.#bringListing(directory, signal));
    for (const [name, inode] of listing) visit(name, inode);
  }

  /** As the host counts; 0 where it does not (btrfs and others say 1). */
  countDirectories(directory: number): number {
    return Math.max(0, this.links(directory) - 2);
  }

  linkTarget(inode: number): Name {
    return (
      this.#targets.get(inode) ??
      this.#questions.ask(`target ${inode}`, async (signal) => {
        const target = await this.#source.files.readLink(this.#numbers.place(inode), signal);
        return (until) => this.#targets.set(inode, target, until);
      })
    );
  }

  /** None are shown: Node has no calls for them, and NFSv3 no procedures. */
  extendedAttributes(): ReadonlyMap<Name, Buffer> {
    return noAttributes;
  }

  /** What lies beyond the file's end reads as zeros: a copied-up file may remember it longer than it is now. */
  read(inode: number, offset: number, length: number, target: Buffer, targetOffset: number): number {
    const attributes = this.attributes(inode);
    const end = Math.min(offset + length, attributes.size);
    const needs: Need[] = [];
    target.fill(0, targetOffset, targetOffset + length);
    for (let index = Math.floor(offset / blockBytes); index * blockBytes < end; index++) {
      const start = index * blockBytes;
      const block = this.#content.find(inode, index, attributes);
      if (block === undefined) needs.push(this.#needBlock(inode, index));
      else {
        const from = Math.max(offset, start);
        block.copy(target, targetOffset + from - offset, from - start, Math.min(end - start, block.length));
      }
    }
    if (needs.length > 0) throw new Fault(needs);
    return Math.max(0, end - offset);
  }

  pieces(): undefined {
    return undefined;
  }

  /**
   * Makes a change (L4): throws the Fault that does. `settle` is told the inode that was made, or -1, or why not; `key` names
   * the operation that asks. `touched`: the inodes whose attributes or entries it changes; of a creation first the
   * directory, of a rename what is moved, from where and whereto.
   */
  change(key: string, touched: readonly number[], change: LiveChange, settle: (outcome: LiveOutcome) => void): never {
    if (!this.isWritable) throw new FileSystemError("EROFS");
    throw new Fault([this.#needChange(key, touched, change, settle)]);
  }

  /** Where an inode lies, for a change of it. */
  place(inode: number): LivePlace {
    return this.#numbers.place(inode);
  }

  /** What tells later whether an inode was changed since now. */
  #watch(): (inode: number) => boolean {
    const count = this.#changeCount;
    return (inode) => (this.#changedAt.get(inode) ?? 0) <= count;
  }

  /** With those that follow it in the last listing of its directory and are not known either. */
  async #bringAttributes(inode: number, signal: AbortSignal): Promise<Keep> {
    const isCurrent = this.#watch();
    const wanted = [inode, ...this.#findNeighbours(inode)];
    const { files } = this.#source;
    const found = await Promise.allSettled(wanted.map((each) => files.attributes(this.#numbers.place(each), signal)));
    const [first] = found;
    if (first.status === "rejected") throw first.reason;
    return (until) => {
      for (const [index, result] of found.entries())
        if (result.status === "fulfilled" && isCurrent(wanted[index]))
          this.#attributes.set(wanted[index], requireSane(result.value), until);
    };
  }

  #findNeighbours(inode: number): number[] {
    const listing = this.#listings.get(this.#numbers.parent(inode));
    const neighbours: number[] = [];
    let isAfter = false;
    for (const each of listing?.values() ?? []) {
      if (each === inode) isAfter = true;
      else if (isAfter && each !== whiteout && this.#attributes.get(each) === undefined) neighbours.push(each);
      if (neighbours.length >= attributesAtOnce) break;
    }
    return neighbours;
  }

  async #bringName(directory: number, name: Name, signal: AbortSignal): Promise<Keep> {
    const isCurrent = this.#watch();
    const key = this.#nameKey(directory, name);
    const found = await this.#source.files.find(this.#numbers.place(directory), name, signal);
    const [inode] = await this.#number(directory, [[name, found]]);
    return (until) => {
      if (found !== undefined && found !== "whiteout" && isCurrent(inode))
        this.#attributes.set(inode, requireSane(found.attributes), until);
      this.#names.set(key, inode, until);
    };
  }

  async #bringListing(directory: number, signal: AbortSignal): Promise<Keep> {
    const isCurrent = this.#watch();
    const { entries }: LiveListing = await this.#source.files.list(this.#numbers.place(directory), signal);
    if (entries.length > maxListedNames) throw new FileSystemError("ENOTSUP", `more than ${maxListedNames} names`);
    const valid = entries.filter(({ name }) => isName(name) && !name.startsWith(whiteoutPrefix));
    const inodes = await this.#number(
      directory,
      valid.map(({ name, object }) => [name, object]),
    );
    return (until) => {
      if (isCurrent(directory))
        this.#listings.set(directory, new Map(valid.map(({ name }, index) => [name, inodes[index]])), until);
      for (const [index, { object }] of valid.entries())
        if (object !== "whiteout" && isCurrent(inodes[index]))
          this.#attributes.set(inodes[index], requireSane(object.attributes), until);
    };
  }

  /** Inode numbers of what was found; -1 for nothing (L3). */
  async #number(directory: number, found: readonly (readonly [Name, LiveFound])[]): Promise<number[]> {
    const sightings: Sighting[] = [];
    for (const [name, object] of found)
      if (object !== undefined && object !== "whiteout") sightings.push(sight(directory, name, object));
    const numbers = (await this.#numbers.record(sightings)).values();
    return found.map(([, object]) => {
      if (object === undefined) return -1;
      return object === "whiteout" ? whiteout : numbers.next().value!;
    });
  }

  #needBlock(inode: number, index: number): Need {
    return this.#questions.need(`block ${inode} ${index}`, async (signal) => {
      const isCurrent = this.#watch();
      const place = this.#numbers.place(inode);
      const content = await this.#source.files.read(place, index * blockBytes, blockBytes, signal);
      if (content.data.length > blockBytes) throw new FileSystemError("EIO", "more bytes than were asked for");
      const attributes = requireSane(content.attributes);
      return (until) => {
        if (!isCurrent(inode)) return;
        this.#attributes.set(inode, attributes, until);
        this.#content.keep(inode, index, { data: content.data, attributes }, until);
      };
    });
  }

  #needChange(
    key: string,
    touched: readonly number[],
    change: LiveChange,
    settle: (outcome: LiveOutcome) => void,
  ): Need {
    // The bytes are lent: a caller's buffer is used again when the operation has faulted.
    const own = change.kind === "write" ? { ...change, data: Buffer.from(change.data) } : change;
    return this.#questions.needOnce(`change ${key}`, async (signal) => {
      let outcome: LiveOutcome;
      try {
        const object = await this.#source.files.change(own, signal);
        for (const inode of touched) this.#forget(inode);
        if (own.kind === "rename") await this.#moved(touched, own.toName);
        outcome = { inode: object === undefined ? -1 : await this.#keepChanged(own, touched, object) };
      } catch (error) {
        // Also of what failed or was given up: it may have been done.
        for (const inode of touched) this.#forget(inode);
        signal.throwIfAborted();
        outcome = { error: asFileSystemError(error) };
      }
      if (!signal.aborted) settle(outcome);
    });
  }

  /** What the change left of its object is known: who asked for it looks at that next. */
  async #keepChanged(change: LiveChange, touched: readonly number[], object: LiveObject): Promise<number> {
    const isNew = change.kind === "create";
    const [inode] = isNew ? await this.#numbers.record([sight(touched[0], change.name, object)]) : touched;
    this.#attributes.set(inode, requireSane(object.attributes), performance.now() + minValidityMs);
    return isNew ? inode : -1;
  }

  /** Who holds what was moved finds it at its new place. */
  async #moved([inode, , directory]: readonly number[], name: Name): Promise<void> {
    const { identity } = this.#numbers.place(inode);
    await this.#numbers.record([{ parent: directory, name, identity, hasOneName: true }]);
  }

  #forget(inode: number): void {
    this.#changedAt.set(inode, ++this.#changeCount);
    this.#attributes.delete(inode);
    this.#content.forget(inode);
    this.#listings.delete(inode);
  }

  /** Names that were found before the directory was last changed are under another key. */
  #nameKey(directory: number, name: Name): string {
    return `${directory} ${this.#changedAt.get(directory) ?? 0} ${name}`;
  }
}
