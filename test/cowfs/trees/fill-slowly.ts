/** Fills the cache in argv[2] with argv[3] chunks, slowly, until it is killed; writes a line once it has begun. */
import { setTimeout as delay } from "node:timers/promises";
import { openResidentSpace } from "../../../cowfs/trees/resident.ts";
import { makeSpaceContent, treeId } from "./space-content.ts";

const { content, chunks } = makeSpaceContent(Number(process.argv[3]));
const space = await openResidentSpace({
  directory: process.argv[2],
  treeId,
  chunks,
  fetch: async (wanted) => {
    await delay(400);
    return new Map(
      wanted.map((chunk) => [
        chunk,
        content.subarray(chunks.address(chunk), chunks.address(chunk) + chunks.length(chunk)),
      ]),
    );
  },
});
let hasBegun = false;
const begin = () => {
  if (!hasBegun) console.log("begun");
  hasBegun = true;
};
await space.bringAhead({ onProgress: begin, signal: new AbortController().signal });
