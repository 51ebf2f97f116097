import test from "ava";
import { defaultKernel } from "../../../control/deploy/default-kernel.ts";
import { checkDocument, deploymentFor } from "../../../control/deploy/document.ts";

const overlay = "xenostore://demo/apache";

for (const [wrong, reason] of [
  [{}, "it must have required properties overlay"],
  [[], "it must be object"],
  [{ overlay, colour: "red" }, "/colour is no known property"],
  [{ overlay, servers: { a: { memoryMiB: 1 } } }, "/servers/a/memoryMiB must be >= 64"],
  [{ overlay, servers: { a: { id: "12345678" } } }, "/servers/a/id is no known property"],
  [{ overlay, servers: { "a/b": {} } }, "/servers/a~1b is no known property"],
  [{ overlay, restart: "often" }, "/restart must be one of never, host-boot, crash, always"],
  [{ overlay, environment: { "A B": "" } }, "/environment/A B is no known property"],
  [{ overlay, ports: [{ published: 0, guest: 80 }] }, "/ports/0/published must be >= 1"],
  [{ overlay, cpu: {} }, "/cpu must have required properties meanMsPerSecond"],
] as const)
  test(`a document is refused where ${reason}`, (t) => {
    t.throws(() => checkDocument(wrong, "web.json"), {
      code: "document-invalid",
      message: `web.json is no deployment: ${reason}`,
    });
  });

test("each XenoServer is asked for what is said for all, with its own over it", (t) => {
  const document = checkDocument(
    {
      overlay,
      memoryMiB: 256,
      environment: { STAGE: "test", SHARD: "none" },
      files: [
        { path: "/etc/motd", content: "hello" },
        { path: "/etc/id", content: "none" },
      ],
      servers: {
        a: {},
        b: { memoryMiB: 128, environment: { SHARD: "2" }, files: [{ path: "/etc/id", content: "b" }] },
      },
    },
    "web.json",
  );
  const common = { id: "request-1", overlay, kernel: defaultKernel, cpus: 1 };
  t.deepEqual(deploymentFor(document, "a", "request-1"), {
    ...common,
    memoryMiB: 256,
    environment: { STAGE: "test", SHARD: "none" },
    files: [
      { path: "/etc/motd", content: "hello" },
      { path: "/etc/id", content: "none" },
    ],
  });
  t.deepEqual(deploymentFor(document, "b", "request-1"), {
    ...common,
    memoryMiB: 128,
    environment: { STAGE: "test", SHARD: "2" },
    files: [
      { path: "/etc/motd", content: "hello" },
      { path: "/etc/id", content: "b" },
    ],
  });
  t.deepEqual(deploymentFor({ overlay }, "c", "request-1"), { ...common, memoryMiB: 512 });
});
