import test from "ava";
import { maxReplies, Replies } from "../../../cowfs/journals/replies.ts";

test("the last 65,536 replies are kept, and one that was given again counts from then", (t) => {
  const replies = new Replies();
  const reply = Buffer.from("reply");
  replies.set("first", reply);
  replies.set("again", reply);
  for (let index = 0; index < maxReplies - 2; index++) replies.set(`key ${index}`, reply);
  t.is(replies.size, maxReplies);
  replies.set("again", Buffer.from("another"));
  t.is(replies.get("first"), undefined);
  t.is(replies.get("again")?.toString(), "another");
  replies.set("one more", reply);
  t.is(replies.get("again")?.toString(), "another");
  t.deepEqual(replies.get("key 0"), reply);
  replies.set("and one more", reply);
  t.is(replies.get("key 0"), undefined);
  t.is(replies.size, maxReplies);
});

test("replies hold no memory but their own, whatever they were allocated beside, and none of what was forgotten", (t) => {
  const replies = new Replies();
  const buffers = () => new Set([...replies].map(([, bytes]) => bytes.buffer));
  const given = Array.from({ length: 3 * maxReplies }, (_, index) => `reply ${index}`.padEnd(100));
  for (const [index, text] of given.entries()) replies.set(`key ${index}`, Buffer.from(text));
  t.deepEqual(
    [...replies].map(([, bytes]) => bytes.toString()),
    given.slice(-maxReplies),
  );
  const held = [...buffers()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  t.true(held < 1.1 * 100 * maxReplies, `${held} bytes`);
  const large = Buffer.alloc(2 ** 20, 1);
  replies.set("large", large);
  t.true(replies.get("large")!.equals(large));
});
