/** A store in a bucket of a real Ceph RGW: see also ../services. */
import test from "ava";
import { openStore } from "../../../xenostore/stores/open-store.ts";
import type { S3Store } from "../../../xenostore/stores/s3/s3-store.ts";
import { shareInFile } from "../services/for-file.ts";
import { startRadosGateway } from "../services/rados-gateway.ts";
import { testObjectStore } from "./conformance.ts";

const gateway = shareInFile(test, async (t) => {
  const gateway = await startRadosGateway(t);
  Object.assign(process.env, gateway.credentials);
  return gateway;
});

const openBucket = async () => (await openStore(await gateway().makeBucket())) as S3Store;

testObjectStore("S3 on Ceph RGW", openBucket);

test("the probe says what Ceph's conditional writes are worth, and leaves nothing", async (t) => {
  const store = await openBucket();
  t.deepEqual(await store.conditions(), { create: "atomic", replace: "atomic", etags: "plain" });
  t.deepEqual(await store.list(""), []);
});
