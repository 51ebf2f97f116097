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
  t.is(replies.get("key 0"), reply);
  replies.set("and one more", reply);
  t.is(replies.get("key 0"), undefined);
  t.is(replies.size, maxReplies);
});
