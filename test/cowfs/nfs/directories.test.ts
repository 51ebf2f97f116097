import test from "ava";
import { type Client, nfs } from "./client.ts";
import { encode } from "./encoder.ts";
import { makeFile, serveModel } from "./fixture.ts";
import { attributes, type Listing, readAttributes, readListing, readNewObject } from "./results.ts";

const badCookie = 10003;
const tooSmall = 10005;
const superuser = { uid: 0, gid: 0, groups: [] };

interface Sizes {
  readonly plus: boolean;
  readonly maxBytes: number;
  readonly dircount?: number;
}

async function list(client: Client, directory: Buffer, cookie: number | bigint, sizes: Sizes, verifier = 0) {
  const args = encode().opaque(directory).u64(cookie).u64(verifier);
  if (sizes.plus) args.u32(sizes.dircount ?? sizes.maxBytes);
  return client.call(sizes.plus ? nfs.readdirplus : nfs.readdir, args.u32(sizes.maxBytes));
}

async function listAll(client: Client, directory: Buffer, sizes: Sizes): Promise<Listing[]> {
  const pages: Listing[] = [];
  for (let cookie = 0; ; ) {
    const page = readListing(await list(client, directory, cookie, sizes), sizes.plus);
    pages.push(page);
    if (page.isComplete) return pages;
    if (page.entries.length === 0) throw new Error("an empty page without eof");
    cookie = page.entries.at(-1)!.cookie;
  }
}

async function serveNames(t: Parameters<typeof serveModel>[0], count: number) {
  const fixture = await serveModel(t);
  const { fileSystem, client, root } = fixture;
  const made = await client.call(
    nfs.mkdir,
    encode()
      .opaque(root)
      .string("d")
      .raw(attributes({ mode: 0o755 })),
  );
  const { handle, attributes: of } = readNewObject(made);
  const names = Array.from({ length: count }, (_, i) => `${i}-${"n".repeat((i * 37) % 200)}`);
  fileSystem.transact(undefined, () => {
    for (const name of names) fileSystem.createFile(superuser, of.id, name, { mode: 0o600 }, { kind: "guarded" });
    return Buffer.alloc(0);
  });
  return { ...fixture, directory: handle, names };
}

for (const plus of [false, true]) {
  const procedure = plus ? "READDIRPLUS" : "READDIR";

  test(`${procedure} gives every name once in pages that never exceed what the client asked for`, async (t) => {
    const { client, directory, names } = await serveNames(t, 400);
    for (const maxBytes of [512, 613, 1024, 4096, 32768, 1 << 20]) {
      const pages = await listAll(client, directory, { plus, maxBytes });
      const entries = pages.flatMap((page) => page.entries);
      t.deepEqual(entries.map((entry) => entry.name).sort(), [".", "..", ...names].sort(), `${maxBytes}`);
      for (const page of pages) t.true(page.bytes <= maxBytes, `${page.bytes} over ${maxBytes}`);
    }
  });

  test(`${procedure} fills its pages to the byte`, async (t) => {
    const { client, directory } = await serveNames(t, 10);
    const whole = (await listAll(client, directory, { plus, maxBytes: 1 << 20 }))[0];
    t.true(whole.isComplete);
    const exactly = await listAll(client, directory, { plus, maxBytes: whole.bytes });
    t.is(exactly.length, 1);
    const oneLess = await listAll(client, directory, { plus, maxBytes: whole.bytes - 1 });
    t.is(oneLess.length, 2);
  });

  test(`${procedure} answers TOOSMALL where no entry fits, and not an empty page`, async (t) => {
    const { client, directory } = await serveNames(t, 3);
    for (const maxBytes of [0, 103, 104, plus ? 250 : 131]) {
      t.is((await list(client, directory, 0, { plus, maxBytes })).u32(), tooSmall, `${maxBytes}`);
    }
    const empty = readListing(await list(client, directory, 2 ** 53 - 1, { plus, maxBytes: 512 }), plus);
    t.true(empty.isComplete);
  });

  test(`${procedure} takes any verifier, and cookies that no longer name an entry`, async (t) => {
    const { client, directory, names } = await serveNames(t, 50);
    const first = readListing(await list(client, directory, 0, { plus, maxBytes: 3000 }), plus);
    const { cookie } = first.entries.at(-1)!;
    for (const { name } of first.entries.slice(2)) {
      t.is((await client.call(nfs.remove, encode().opaque(directory).string(name))).u32(), 0);
    }
    const rest = readListing(await list(client, directory, cookie, { plus, maxBytes: 1 << 20 }, 0x7777), plus);
    const seen = [...first.entries, ...rest.entries].map((entry) => entry.name);
    t.deepEqual(seen.sort(), [".", "..", ...names].sort());
  });

  test(`${procedure} refuses cookies that it never gives, files, and those who may not read`, async (t) => {
    const { client, directory, root } = await serveNames(t, 1);
    t.is((await list(client, directory, 2n ** 53n, { plus, maxBytes: 4096 })).u32(), badCookie);
    t.is((await list(client, directory, 2n ** 64n - 1n, { plus, maxBytes: 4096 })).u32(), badCookie);
    const file = await makeFile(client, root, "file");
    t.is((await list(client, file, 0, { plus, maxBytes: 4096 })).u32(), 20);
    const hide = encode()
      .opaque(directory)
      .raw(attributes({ mode: 0o711 }))
      .u32(0);
    t.is((await client.call(nfs.setattr, hide)).u32(), 0);
    const args = encode().opaque(directory).u64(0).u64(0).u32(4096).u32(4096);
    const denied = await client.call(plus ? nfs.readdirplus : nfs.readdir, args, { as: { uid: 5, gid: 5 } });
    t.is(denied.u32(), 13);
  });
}

test("READDIRPLUS keeps to dircount but for the first entry", async (t) => {
  const { client, directory, names } = await serveNames(t, 100);
  for (const dircount of [0, 1, 400, 8192]) {
    const pages = await listAll(client, directory, { plus: true, maxBytes: 1 << 20, dircount });
    t.is(pages.flatMap((page) => page.entries).length, names.length + 2);
    for (const page of pages) {
      const bytes = page.entries.map((entry) => 20 + Math.ceil(entry.name.length / 4) * 4);
      const sum = bytes.reduce((total, count) => total + count, 0);
      t.true(sum <= dircount || page.entries.length === 1);
    }
  }
});

test("READDIRPLUS gives the attributes and handles that LOOKUP gives", async (t) => {
  const { client, directory, root } = await serveNames(t, 5);
  const [page] = await listAll(client, directory, { plus: true, maxBytes: 65536 });
  t.deepEqual(page.entries[0].handle, directory);
  t.deepEqual(page.entries[1].handle, root);
  for (const entry of page.entries) {
    const results = await client.call(nfs.lookup, encode().opaque(directory).string(entry.name));
    t.is(results.u32(), 0);
    t.deepEqual(results.opaque(), entry.handle);
    t.deepEqual(results.optional(readAttributes), entry.attributes);
    t.is(entry.attributes?.id, entry.id);
  }
});

test("a kept page is shown until something changes, and only to those who may list", async (t) => {
  const { client, directory, fileSystem, names } = await serveNames(t, 100);
  let changeCount = 0;
  let listings = 0;
  const { list: original } = fileSystem;
  Object.defineProperty(fileSystem, "changeCount", { get: () => changeCount });
  fileSystem.list = (...args) => {
    listings++;
    return original.apply(fileSystem, args);
  };
  const whole = { plus: true, maxBytes: 1 << 20 };
  const first = await listAll(client, directory, whole);
  t.deepEqual(await listAll(client, directory, whole), first);
  t.is(listings, 1);
  t.is((await client.call(nfs.remove, encode().opaque(directory).string(names[7]))).u32(), 0);
  changeCount++;
  t.is((await listAll(client, directory, whole))[0].entries.length, names.length + 1);
  t.is(listings, 2);
  const hide = encode()
    .opaque(directory)
    .raw(attributes({ mode: 0o700 }))
    .u32(0);
  t.is((await client.call(nfs.setattr, hide)).u32(), 0);
  const args = encode()
    .opaque(directory)
    .u64(0)
    .u64(0)
    .u32(1 << 20)
    .u32(1 << 20);
  t.is((await client.call(nfs.readdirplus, args, { as: { uid: 5, gid: 5 } })).u32(), 13);
});
