/**
 * What one client does in a directory of its own, and what must be there then.
 *
 * Nobody else is there, and every request is one that succeeds when it is run once: run twice, or lost after it was
 * answered, it or a later one fails, or the directory shows something else.
 */
import assert from "node:assert/strict";
import { choose, type Random } from "../../../random.ts";
import { nfs } from "../client.ts";
import { type Encoder, encode } from "../encoder.ts";
import { attributes, readAttributes, readListing, readNewObject } from "../results.ts";
import type { SteadyClient } from "./steady-client.ts";

interface Kept {
  readonly handle: Buffer;
  readonly kind: "file" | "directory" | "symlink";
  content: Buffer;
  mode: number;
  links: number;
}

const mostNames = 40;
const mostBytes = 20_000;
const maxFileBytes = 60_000;

export class Worker {
  readonly #client: SteadyClient;
  readonly #random: Random;
  readonly #home: Buffer;
  /** Two names of a file share what they name. */
  readonly #names = new Map<string, Kept>();
  #made = 0;
  #verifier: string | undefined;

  constructor(client: SteadyClient, random: Random, home: Buffer) {
    this.#client = client;
    this.#random = random;
    this.#home = home;
  }

  /** One request, or one and what it needs. Throws where it is not answered as it must be. */
  async act(): Promise<void> {
    const files = [...this.#names].filter(([, { kind }]) => kind === "file");
    if (files.length < 3) return this.#create();
    const [name, file] = choose(this.#random, files);
    switch (this.#random(14)) {
      case 0:
      case 1:
        return this.#names.size < mostNames ? this.#create() : this.#remove();
      case 2:
        return this.#makeOther();
      case 3:
      case 4:
      case 5:
        return this.#write(file, choose(this.#random, [0, 0, 1, 2]));
      case 6:
        return this.#commit(file);
      case 7:
        return this.#setMode(file);
      case 8:
        return this.#setSize(file);
      case 9:
        return this.#rename(name, file);
      case 10:
        return this.#link(file);
      case 11:
        return this.#remove();
      case 12:
        return this.#client.repeatOld();
      default:
        return this.#check(file);
    }
  }

  /** Everything that was answered is there, and nothing else. */
  async checkAll(): Promise<void> {
    const names: string[] = [];
    for (let cookie = 0; ; ) {
      const args = encode().opaque(this.#home).u64(cookie).u64(0).u32(4096);
      const { entries, isComplete } = readListing(await this.#client.call(nfs.readdir, args), false);
      names.push(...entries.map((entry) => entry.name).filter((each) => each !== "." && each !== ".."));
      if (isComplete) break;
      cookie = entries.at(-1)!.cookie;
    }
    assert.deepEqual(names.sort(), [...this.#names.keys()].sort(), "names are lost, or came back");
    for (const [name, kept] of this.#names) {
      const results = await this.#succeed(nfs.lookup, this.#at(name));
      assert.deepEqual(results.opaque(), kept.handle, `${name} is another file`);
      await this.#check(kept);
    }
  }

  async #create(): Promise<void> {
    const name = this.#newName();
    const isExclusive = this.#random(4) === 0;
    const args = this.#at(name);
    if (isExclusive) args.u32(2).raw(Buffer.from(name.padStart(8).slice(-8)));
    else args.u32(1).raw(attributes({ mode: 0o644 }));
    const { handle } = readNewObject(await this.#client.call(nfs.create, args));
    const kept: Kept = { handle, kind: "file", content: Buffer.alloc(0), mode: 0o644, links: 1 };
    this.#names.set(name, kept);
    if (isExclusive) await this.#setMode(kept);
  }

  async #makeOther(): Promise<void> {
    const name = this.#newName();
    const isDirectory = this.#random(2) === 0;
    const args = this.#at(name).raw(attributes({ mode: 0o755 }));
    if (!isDirectory) args.string(`to ${name}`);
    const made = await this.#client.call(isDirectory ? nfs.mkdir : nfs.symlink, args);
    const { handle } = readNewObject(made);
    const content = isDirectory ? Buffer.alloc(0) : Buffer.from(`to ${name}`);
    this.#names.set(name, { handle, kind: isDirectory ? "directory" : "symlink", content, mode: 0o755, links: 1 });
  }

  async #write(file: Kept, stable: number): Promise<void> {
    const offset = this.#random(Math.min(file.content.length, maxFileBytes - mostBytes) + 100);
    const data = Buffer.alloc(1 + this.#random(mostBytes), String.fromCharCode(97 + this.#random(26)));
    const args = encode().opaque(file.handle).u64(offset).u32(data.length).u32(stable).opaque(data);
    const results = await this.#succeed(nfs.write, args);
    results.raw(results.left - 16);
    assert.equal(results.u32(), data.length);
    assert.ok(results.u32() >= stable);
    this.#requireVerifier(results.raw(8));
    const size = Math.max(file.content.length, offset + data.length);
    const content = Buffer.concat([file.content], size);
    data.copy(content, offset);
    file.content = content;
  }

  async #commit(file: Kept): Promise<void> {
    const results = await this.#succeed(nfs.commit, encode().opaque(file.handle).u64(0).u32(0));
    results.raw(results.left - 8);
    this.#requireVerifier(results.raw(8));
  }

  /** Nothing that was written is lost with the process (RFC 1813 section 4.8). */
  #requireVerifier(verifier: Buffer): void {
    this.#verifier ??= verifier.toString("hex");
    assert.equal(verifier.toString("hex"), this.#verifier, "the write verifier has changed");
  }

  async #setMode(file: Kept): Promise<void> {
    const mode = 0o400 + this.#random(0o400);
    await this.#succeed(nfs.setattr, encode().opaque(file.handle).raw(attributes({ mode })).u32(0));
    file.mode = mode;
  }

  async #setSize(file: Kept): Promise<void> {
    const size = this.#random(maxFileBytes);
    await this.#succeed(nfs.setattr, encode().opaque(file.handle).raw(attributes({ size })).u32(0));
    file.content = Buffer.concat([file.content], size);
  }

  async #rename(name: string, file: Kept): Promise<void> {
    const files = [...this.#names].filter(([, kept]) => kept.kind === "file" && kept !== file);
    const isOver = this.#random(2) === 0 && files.length > 0;
    const to = isOver ? choose(this.#random, files)[0] : this.#newName();
    await this.#succeed(nfs.rename, this.#at(name).opaque(this.#home).string(to));
    if (isOver) this.#names.get(to)!.links--;
    this.#names.delete(name);
    this.#names.set(to, file);
  }

  async #link(file: Kept): Promise<void> {
    const name = this.#newName();
    await this.#succeed(nfs.link, encode().opaque(file.handle).opaque(this.#home).string(name));
    file.links++;
    this.#names.set(name, file);
  }

  async #remove(): Promise<void> {
    const [name, kept] = choose(this.#random, [...this.#names]);
    await this.#succeed(kept.kind === "directory" ? nfs.rmdir : nfs.remove, this.#at(name));
    kept.links--;
    this.#names.delete(name);
  }

  async #check({ handle, kind, content, mode, links }: Kept): Promise<void> {
    const found = readAttributes(await this.#succeed(nfs.getattr, encode().opaque(handle)));
    if (kind !== "symlink") assert.equal(found.mode, mode);
    if (kind === "directory") return;
    assert.equal(found.links, links);
    assert.equal(found.size, content.length);
    if (kind === "symlink") return;
    const results = await this.#succeed(
      nfs.read,
      encode()
        .opaque(handle)
        .u64(0)
        .u32(maxFileBytes + mostBytes),
    );
    results.optional(readAttributes);
    assert.equal(results.u32(), content.length);
    results.u32();
    assert.ok(results.opaque().equals(content), "a file holds something else");
  }

  async #succeed(procedure: number, args: Encoder) {
    const results = await this.#client.call(procedure, args);
    assert.equal(results.u32(), 0, `procedure ${procedure}`);
    return results;
  }

  #at(name: string): Encoder {
    return encode().opaque(this.#home).string(name);
  }

  #newName(): string {
    return `name-${this.#made++}`;
  }
}
