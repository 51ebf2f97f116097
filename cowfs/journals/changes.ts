/**
 * Changes as bytes: the payload of a log record is the changes of one transaction, one after another.
 *
 * A change is a kind byte and its fields (fields.ts). A newer reader reads older logs, so kinds are added and never
 * changed; a kind that is not known was written by a newer release, for records are checksummed.
 */
import { XenoError } from "../errors.ts";
import { damagedChange, FieldReader, FieldWriter } from "./fields.ts";
import type { Pin, PinnedSegment } from "./pins.ts";
import type { Change, InodeFields, Slot } from "./state.ts";

const kinds = {
  put: 1,
  drop: 2,
  enter: 3,
  remove: 4,
  lay: 5,
  cut: 6,
  wrote: 7,
  attribute: 8,
  slot: 9,
  reply: 10,
  skip: 11,
  cookies: 12,
  pin: 13,
  unpin: 14,
  fork: 15,
  mounted: 16,
  merge: 18,
  large: 19,
} as const satisfies Record<Change["kind"], number>;

/** A slot of a layer that lies over the journal. */
const slotOverKind = 17;
/** An extent beyond 2^53. */
const layFarKind = 20;

const noBytes = Buffer.alloc(0);

function kindOf(change: Change): number {
  if (change.kind === "slot" && change.slot.isOver) return slotOverKind;
  if (change.kind === "lay" && change.region) return layFarKind;
  return kinds[change.kind];
}

/** A buffer that the changes of a record are written into. */
export class ChangeWriter extends FieldWriter {
  change(change: Change): void {
    this.uint8(kindOf(change));
    switch (change.kind) {
      case "put":
        return this.#inode(change.inode);
      case "drop":
        return this.number(change.id);
      case "enter":
        this.number(change.directory);
        this.name(change.name);
        this.number(change.id);
        return this.number(change.cookie);
      case "remove":
        this.number(change.directory);
        return this.name(change.name);
      case "lay":
        this.number(change.id);
        this.number(change.extent.offset);
        this.number(change.extent.length);
        this.number(change.extent.address);
        if (change.region) this.uint32(change.region);
        return this.uint32(change.checksum);
      case "large":
        this.number(change.id);
        this.uint32(Number(change.size & 0xffffffffn));
        return this.uint32(Number(change.size >> 32n));
      case "cut":
        this.number(change.id);
        return this.number(change.size);
      case "wrote":
        this.number(change.id);
        this.number(change.size);
        this.uint32(change.mode);
        return this.time(change.time);
      case "attribute":
        this.number(change.id);
        this.name(change.name);
        this.uint8(change.value === undefined ? 0 : 1);
        return this.blob(change.value ?? noBytes);
      case "slot":
        this.uint32(change.slot.number);
        this.number(change.slot.directory);
        this.name(change.slot.url);
        return this.name(change.slot.identity);
      case "merge":
        this.number(change.id);
        return this.number(change.merges);
      case "mounted":
        this.number(change.directory);
        return this.time(change.time);
      case "reply":
        this.name(change.key);
        return this.blob(change.bytes);
      case "skip":
        return this.number(change.nextInode);
      case "cookies":
        this.number(change.directory);
        return this.number(change.next);
      case "pin":
        return this.#pin(change.pin);
      case "unpin":
        return this.name(change.name);
      case "fork":
        return this.uint8(change.keepsReplies ? 1 : 0);
    }
  }

  #pin({ name, position, created, segments }: Pin): void {
    this.name(name);
    this.number(position.sequence);
    this.uint32(position.checksum);
    this.uint32(position.epoch);
    this.number(created);
    this.uint32(segments.length);
    for (const { segment, bytes } of segments) {
      this.uint32(segment);
      this.uint32(bytes);
    }
  }

  #inode(inode: InodeFields): void {
    this.number(inode.id);
    this.uint32(inode.mode);
    this.number(inode.links);
    this.uint32(inode.uid);
    this.uint32(inode.gid);
    this.number(inode.size);
    this.uint32(inode.deviceMajor);
    this.uint32(inode.deviceMinor);
    this.time(inode.accessed);
    this.time(inode.modified);
    this.time(inode.changed);
    this.number(inode.parent);
    this.name(inode.target);
    this.name(inode.verifier === undefined ? "" : inode.verifier.toString(16));
  }
}

/** Reads changes back. Throws `journal-damaged` on anything that a writer of this version does not write. */
export class ChangeReader extends FieldReader {
  *changes(): Generator<Change> {
    while (!this.isAtEnd) yield this.#change();
  }

  #change(): Change {
    const kind = this.uint8();
    switch (kind) {
      case kinds.put:
        return { kind: "put", inode: this.#inode() };
      case kinds.drop:
        return { kind: "drop", id: this.number() };
      case kinds.enter:
        return {
          kind: "enter",
          directory: this.number(),
          name: this.name(),
          id: this.number(),
          cookie: this.number(),
        };
      case kinds.remove:
        return { kind: "remove", directory: this.number(), name: this.name() };
      case kinds.lay: {
        const id = this.number();
        const extent = { offset: this.number(), length: this.number(), address: this.number() };
        return { kind: "lay", id, extent, checksum: this.uint32() };
      }
      case layFarKind: {
        const id = this.number();
        const extent = { offset: this.number(), length: this.number(), address: this.number() };
        return { kind: "lay", id, extent, region: this.uint32(), checksum: this.uint32() };
      }
      case kinds.large:
        return { kind: "large", id: this.number(), size: BigInt(this.uint32()) | (BigInt(this.uint32()) << 32n) };
      case kinds.cut:
        return { kind: "cut", id: this.number(), size: this.number() };
      case kinds.wrote:
        return { kind: "wrote", id: this.number(), size: this.number(), mode: this.uint32(), time: this.time() };
      case kinds.attribute: {
        const [id, name, isSet, value] = [this.number(), this.name(), this.uint8() === 1, this.blob()];
        return { kind: "attribute", id, name, value: isSet ? value : undefined };
      }
      case kinds.slot:
      case slotOverKind:
        return { kind: "slot", slot: this.#slot(kind === slotOverKind) };
      case kinds.merge:
        return { kind: "merge", id: this.number(), merges: this.number() };
      case kinds.mounted:
        return { kind: "mounted", directory: this.number(), time: this.time() };
      case kinds.reply:
        return { kind: "reply", key: this.name(), bytes: this.blob() };
      case kinds.skip:
        return { kind: "skip", nextInode: this.number() };
      case kinds.cookies:
        return { kind: "cookies", directory: this.number(), next: this.number() };
      case kinds.pin:
        return { kind: "pin", pin: this.#pin() };
      case kinds.unpin:
        return { kind: "unpin", name: this.name() };
      case kinds.fork:
        return { kind: "fork", keepsReplies: this.uint8() === 1 };
      default:
        throw new XenoError("journal-too-new", `the journal holds a change of kind ${kind}, which is not known here`, {
          hint: "Open it with the newer release that wrote it.",
        });
    }
  }

  #slot(isOver: boolean): Slot {
    return { number: this.uint32(), directory: this.number(), url: this.name(), identity: this.name(), isOver };
  }

  #pin(): Pin {
    const name = this.name();
    const position = { sequence: this.number(), checksum: this.uint32(), epoch: this.uint32() };
    const created = this.number();
    const segments: PinnedSegment[] = [];
    for (let left = this.uint32(); left > 0; left--) segments.push({ segment: this.uint32(), bytes: this.uint32() });
    return { name, position, created, segments };
  }

  #inode(): InodeFields {
    return {
      id: this.number(),
      mode: this.uint32(),
      links: this.number(),
      uid: this.uint32(),
      gid: this.uint32(),
      size: this.number(),
      deviceMajor: this.uint32(),
      deviceMinor: this.uint32(),
      accessed: this.time(),
      modified: this.time(),
      changed: this.time(),
      parent: this.number(),
      target: this.name(),
      verifier: parseVerifier(this.name()),
    };
  }
}

function parseVerifier(text: string): bigint | undefined {
  if (text === "") return undefined;
  if (!/^[0-9a-f]{1,16}$/.test(text)) throw damagedChange("a malformed create verifier");
  return BigInt(`0x${text}`);
}
