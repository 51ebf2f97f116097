import test from "ava";
import type { Tokens } from "../../../control/information/advertisement.ts";
import { createInformationApi } from "../../../control/information/api.ts";
import { InvertedFile } from "../../../control/information/inverted-file.ts";
import { InformationNode } from "../../../control/information/node.ts";
import { addSearchRoute } from "../../../control/search/api.ts";
import { findServers } from "../../../control/search/find-servers.ts";
import type { Query } from "../../../control/search/query.ts";
import fc from "../../property.ts";

const now = 1_800_000_000_000;

function idOf(name: string): string {
  return name.padEnd(43, "_");
}

function fileOf(offers: Record<string, Tokens>): InvertedFile {
  const file = new InvertedFile();
  for (const [name, tokens] of Object.entries(offers))
    file.take({
      server: idOf(name),
      address: `https://${name}`,
      at: now - 1000,
      expires: now + 1000,
      tokens,
      text: "",
    });
  return file;
}

const at = (x: number, y: number): Tokens => ({ CoordX: x, CoordY: y, CoordHeight: 1, CoordError: 0.1 });
const prices: Tokens = { PriceCPUmsps: 10, PriceMemoryMiB: 1 };
const file = fileOf({
  cambridge: {
    ...at(0, 0),
    ...prices,
    CPUmsps: 500,
    MemoryMiB: 1024,
    Load: 0.5,
    EnvType: ["Linux"],
    EnvKernel: "6.1",
    NetworkLink: "janet",
  },
  london: {
    ...at(3, 0),
    ...prices,
    PriceCPUmsps: 20,
    CPUmsps: 1000,
    MemoryMiB: 4096,
    Load: 0.1,
    EnvType: ["Linux"],
    EnvKernel: "6.12",
    NetworkLink: "janet",
  },
  paris: {
    ...at(10, 0),
    ...prices,
    PriceCPUmsps: 5,
    CPUmsps: 400,
    MemoryMiB: 512,
    Load: 0.9,
    EnvType: ["Linux", "Program"],
    NetworkLink: "renater",
  },
  boston: { ...at(80, 0), CPUmsps: 4000, MemoryMiB: 65_536, Load: 0, EnvType: ["Program"], NetworkLink: "internet2" },
  nowhere: { ...prices, CPUmsps: 300, MemoryMiB: 512, EnvType: ["Linux"] },
});

const resources = { CPUmsps: 300, MemoryMiB: 512 };
const place = (name: string) => ({ server: idOf(name) });
const cases: { title: string; query: Partial<Query>; finds: string[] }[] = [
  {
    title: "those with enough of everything",
    query: { resources: { CPUmsps: 450, MemoryMiB: 1024 } },
    finds: ["boston", "cambridge", "london"],
  },
  { title: "those that run an environment", query: { environment: { type: "Program" } }, finds: ["boston", "paris"] },
  { title: "those that have a kernel", query: { environment: { kernel: "6.12" } }, finds: ["london"] },
  {
    title: "the cheapest first, where price alone counts",
    query: { resources, hours: 1, priorities: { price: 1 }, count: 3, maxPrice: 1e9 },
    finds: ["paris", "cambridge", "nowhere"],
  },
  {
    title: "those that do the whole job for at most so much",
    query: { resources, hours: 2, maxPrice: 2 * (300 * 5 + 512) },
    finds: ["paris"],
  },
  {
    title: "the nearest to two places first",
    query: { near: { places: [place("cambridge"), place("paris")] }, priorities: { latency: 1 }, count: 2 },
    finds: ["london", "cambridge"],
  },
  {
    title: "those within a round trip of a point",
    query: { near: { places: [{ x: 0, y: 0 }], withinMs: 5 } },
    finds: ["cambridge", "london"],
  },
  {
    title: "those about as far from one as from another",
    query: {
      equalLatency: {
        places: [
          { x: -5, y: 0 },
          { x: 25, y: 0 },
        ],
        withinMs: 1,
      },
    },
    finds: ["paris"],
  },
  {
    title: "some that are far apart",
    query: { farApartMs: 50, priorities: { load: 1 }, count: 10 },
    finds: ["boston", "london"],
  },
  {
    title: "some with separate network links",
    query: { separateLinks: true, priorities: { load: 1 } },
    finds: ["boston", "london", "paris"],
  },
  {
    title: "what a condition with and, or, not says",
    query: {
      where: {
        all: [
          { token: "EnvType", value: "Linux" },
          {
            any: [
              { token: "CPUmsps", to: 400 },
              { token: "Load", from: 0.5, to: 0.5 },
            ],
          },
          { not: { token: "NetworkLink", value: "renater" } },
        ],
      },
    },
    finds: ["cambridge", "nowhere"],
  },
];
for (const { title, query, finds } of cases)
  test(`a search finds ${title}`, (t) => {
    const { matches } = findServers(file, { count: 10, ...query }, now);
    const names = matches.map(({ address }) => address.slice("https://".length));
    t.deepEqual(query.priorities === undefined ? names.sort() : names, finds);
  });

test("an answer says why it was chosen, and what did not fit and why not", (t) => {
  const { matches, refused, considered } = findServers(
    file,
    { count: 1, resources: { CPUmsps: 450 }, environment: { type: "Linux" }, hours: 1 },
    now,
  );
  t.is(matches.length, 1);
  t.deepEqual(matches[0]!.because.slice(0, 2), ["runs Linux", "CPUmsps 500 of 450 asked for"]);
  t.is(matches[0]!.ageMs, 1000);
  t.is(considered, 3);
  t.deepEqual(refused, { "has no EnvType Linux": 1 });
});

const tokens = fc.record(
  {
    CPUmsps: fc.integer({ min: 0, max: 9 }),
    MemoryMiB: fc.integer({ min: 0, max: 9 }),
    EnvType: fc.constantFrom("a", "b", ["a", "b"]),
    Load: fc.double({ min: 0, max: 1, noNaN: true }),
    PriceCPUmsps: fc.integer({ min: 0, max: 9 }),
  },
  { requiredKeys: ["CPUmsps"] },
);

test("who tells nothing of a resource is found where none of it is asked for", (t) => {
  const file = fileOf({ quiet: { CPUmsps: 0 } });
  t.is(findServers(file, { count: 1, resources: { MemoryMiB: 0 } }, now).matches.length, 1);
  t.is(findServers(file, { count: 1, resources: { MemoryMiB: 1 } }, now).matches.length, 0);
});

test("whichever lookup is the narrowest, exactly those that fit are found", (t) => {
  const query = fc.record(
    {
      CPUmsps: fc.integer({ min: 0, max: 9 }),
      MemoryMiB: fc.integer({ min: 0, max: 9 }),
      type: fc.constantFrom("a", "b"),
      most: fc.integer({ min: 0, max: 40 }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(tokens, { maxLength: 40 }), query, (all, { type, most, ...wanted }) => {
      const some = fileOf(Object.fromEntries(all.map((each, index) => [`s${index}`, each])));
      const environment = type === undefined ? {} : { environment: { type } };
      const price = most === undefined ? {} : { maxPrice: most };
      const { matches } = findServers(some, { count: 100, resources: wanted, hours: 1, ...environment, ...price }, now);
      const expected = all.flatMap((each, index) => {
        const fits =
          (each.CPUmsps ?? 0) >= (wanted.CPUmsps ?? 0) &&
          (each.MemoryMiB ?? 0) >= (wanted.MemoryMiB ?? 0) &&
          (type === undefined || [each.EnvType].flat().includes(type)) &&
          (most === undefined ||
            (wanted.MemoryMiB === undefined &&
              (wanted.CPUmsps === undefined ||
                (each.PriceCPUmsps !== undefined && each.PriceCPUmsps * wanted.CPUmsps <= most))));
        return fits ? [idOf(`s${index}`)] : [];
      });
      t.deepEqual(matches.map(({ server }) => server).sort(), expected.sort());
    }),
  );
});

const hostile: Record<string, unknown> = {
  // As text: it is deeper than JSON.stringify goes.
  "a deep condition": `{"where":${'{"not":'.repeat(7000)}{"token":"a","value":"b"}${"}".repeat(7000)}}`,
  "a resource that there is not": { resources: { Gold: 1 } },
  "more than a hundred answers": { count: 101 },
  "no answers": { count: 0 },
  "a place that is nowhere": { near: { places: [{ x: 1e9, y: 0 }] } },
  "words that nobody knows": { cheapest: true },
};
for (const [title, query] of Object.entries(hostile))
  test(`a search for ${title} is refused`, async (t) => {
    const node = new InformationNode({ peers: [], intervalMs: 1e6, log: () => {} });
    const defects: unknown[] = [];
    const api = createInformationApi(node, (error) => defects.push(error));
    addSearchRoute(api, node);
    const payload = typeof query === "string" ? query : JSON.stringify(query);
    const headers = { "content-type": "application/json" };
    const reply = await api.inject({ method: "POST", url: "/v1/find", headers, payload });
    await api.close();
    t.true(reply.statusCode >= 400 && reply.statusCode < 500);
    t.is(reply.json().code, "request-invalid");
    t.deepEqual(defects, []);
  });
