import test from "ava";
import { createRandom, testSeed } from "../../random.ts";
import { mark } from "./client.ts";
import { serveModel } from "./fixture.ts";
import { fuzzServer } from "./fuzzing.ts";

test("30,000 mutated messages crash nothing, break nothing, and leave no memory behind", async (t) => {
  const counts: Record<string, number> = {};
  try {
    await fuzzServer(testSeed, 30_000, (what, by = 1) => {
      counts[what] = (counts[what] ?? 0) + by;
    });
  } catch (error) {
    throw new Error(`again: npm run soak -- fuzz --seed ${testSeed}`, { cause: error });
  }
  t.true(counts["kinds of answers"] > 100, JSON.stringify(counts));
});

test("2,000 streams of noise only close their connections", async (t) => {
  const random = createRandom(testSeed);
  const { client, connect } = await serveModel(t);
  const streams = Array.from({ length: 2000 }, () => {
    const noise = Buffer.from(Array.from({ length: 1 + random(200) }, () => random(256)));
    // Half of them with a believable record mark.
    return random(2) === 0 ? noise : mark(noise);
  });
  for (let i = 0; i < streams.length; i += 50) {
    const opened = await Promise.all(streams.slice(i, i + 50).map(() => connect()));
    opened.forEach((one, j) => {
      one.send(streams[i + j]);
    });
    await client.call(0).catch(() => {});
    for (const one of opened) one.close();
  }
  const last = await connect();
  t.is((await last.call(0)).left, 0);
});
