/** What a `.mount` line may reach of the host and its network: what the operator allowed, and nothing that looks like it. */
import test from "ava";
import { isPublicAddress, LiveRules, parseLiveUrl } from "../../../templates/layers/live-policy.ts";

const nowhere = async () => Promise.reject(new Error("no name is to be resolved"));

test("an allowed URL reaches its place and what is below it", async (t) => {
  const rules = new LiveRules(
    {
      allow: [
        "ro file:///srv/www",
        "rw file:///srv/www/logs",
        "file:///data%20of%20x",
        "rw nfs://10.0.0.5/export",
        "ro nfs://[fd00::5]/e?nfsport=2050&mountport=2051",
        "ro afs://example.org/home",
      ],
      afsRoot: "/mnt/afs",
    },
    nowhere,
  );
  const directory = (path: string, isWritable: boolean) => ({
    isWritable,
    opening: { kind: "directory", path, isWritable },
  });
  const cases: [string, unknown][] = [
    ["file:///srv/www", directory("/srv/www", false)],
    ["file:///srv//www/", directory("/srv/www", false)],
    ["file:///srv/www/a/b", directory("/srv/www/a/b", false)],
    ["file:///srv/www/logs/x", directory("/srv/www/logs/x", true)],
    ["file:///data%20of%20x/%ff", directory("/data of x/\xff", false)],
    ["afs://Example.org/home/me", directory("/mnt/afs/example.org/home/me", false)],
  ];
  for (const [url, expected] of cases) t.deepEqual(await rules.allow(url), expected as never, url);
  t.like((await rules.allow("nfs://10.0.0.5/export/sub")).opening, {
    address: "10.0.0.5",
    path: "/export/sub",
    isWritable: true,
  });
  t.like((await rules.allow("nfs://[FD00::5]/e?mountport=2051&nfsport=2050")).opening, {
    address: "fd00::5",
    nfsPort: 2050,
  });
});

test("a URL that was not allowed is refused, whatever it looks like", async (t) => {
  const allow = ["ro file:///srv/www", "rw nfs://10.0.0.5/export", "ro afs://example.org/home"];
  const rules = new LiveRules({ allow }, nowhere);
  for (const url of [
    "file:///",
    "file:///srv",
    "file:///srv/www2",
    "file:///srv/ww",
    "file:///etc/shadow",
    "file:///proc/self/environ",
    "nfs://10.0.0.5/",
    "nfs://10.0.0.5/exports",
    "nfs://10.0.0.6/export",
    "nfs://10.0.0.5/export?nfsport=22&mountport=22",
    "nfs://010.0.0.5/export",
    "nfs://10.5/export",
    "nfs://167772165/export",
    "nfs://[::ffff:10.0.0.5]/export",
    "nfs://127.0.0.1/export",
    "nfs://localhost/export",
    "nfs://169.254.169.254/latest",
    "nfs://169.254.1.1/",
    "nfs://[::1]/export",
    "afs://example.org/",
    "afs://example.com/home",
  ])
    await t.throwsAsync(rules.allow(url), { code: "layer-forbidden" }, url);
});

test("a URL that is none is refused before anything else", async (t) => {
  const rules = new LiveRules({ allow: ["rw file:///", "rw nfs://10.0.0.5/", "rw afs://example.org/"] }, nowhere);
  for (const url of [
    "file://host/srv",
    "file:/srv",
    "file:///srv/../etc",
    "file:///srv/./x",
    "file:///srv/%2e%2e/etc",
    "file:///srv/%2E%2e",
    "file:///srv/a%2fb",
    "file:///srv/a%00b",
    "file:///srv/%zz",
    "file:///srv/%f",
    "file:///srv?x=1",
    "file:///srv#x",
    "file:///srv\0",
    "file:///srv x",
    "nfs:///export",
    "nfs://10.0.0.5./export",
    "nfs://user@10.0.0.5/export",
    "nfs://user:pass@10.0.0.5/",
    "nfs://10.0.0.5:2049/export",
    "nfs://10.0.0.5/e?nfsport=0",
    "nfs://10.0.0.5/e?nfsport=65536",
    "nfs://10.0.0.5/e?nfsport=1&nfsport=2",
    "nfs://10.0.0.5/e?port=1",
    "nfs://10.0.0.5\\@127.0.0.1/e",
    "nfs://10.0.0.5%2f/e",
    "afs://../home",
    "afs://example.org/../../etc",
    "afs:///home",
  ]) {
    const error = await rules.allow(url).then(
      () => undefined,
      (error) => error,
    );
    t.regex(error?.code ?? "allowed", /^layer-(malformed|forbidden)$/, url);
  }
  t.throws(() => parseLiveUrl("afs://../home"), { code: "layer-malformed" });
});

test("a name is resolved once, and only to addresses of the Internet", async (t) => {
  const asked: string[] = [];
  const answers: Record<string, string[]> = {
    "files.example.org": ["93.184.216.34"],
    "inner.example.org": ["10.0.0.5"],
    "both.example.org": ["93.184.216.34", "127.0.0.1"],
    "metadata.example.org": ["169.254.169.254"],
    "mapped.example.org": ["::ffff:127.0.0.1"],
    "none.example.org": [],
  };
  const rules = new LiveRules({ allow: Object.keys(answers).map((name) => `ro nfs://${name}/e`) }, async (host) => {
    asked.push(host);
    return answers[host];
  });
  t.like((await rules.allow("nfs://files.example.org/e")).opening, { address: "93.184.216.34" });
  answers["files.example.org"] = ["127.0.0.1"];
  t.like((await rules.allow("nfs://Files.example.org/e/sub")).opening, { address: "93.184.216.34" }, "it is pinned");
  t.deepEqual(asked, ["files.example.org"]);
  for (const name of Object.keys(answers).slice(1))
    await t.throwsAsync(rules.allow(`nfs://${name}/e`), { code: "layer-forbidden" }, name);
});

test("addresses of the host, of private networks and of metadata services are not public", (t) => {
  for (const address of ["93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:4700::1111"])
    t.true(isPublicAddress(address), address);
  for (const address of [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:8.8.8.8",
    "64:ff9b::a00:1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "fec0::1",
    "ff02::1",
    "2002:7f00:1::",
    "2001:db8::1",
    "2001::1",
    "localhost",
    "",
  ])
    t.false(isPublicAddress(address), address);
});

test("a line that the operator got wrong is refused where it is read", (t) => {
  for (const line of ["file:///srv x", "wo file:///srv", "ro", "", "template://Debian/12/current", "ro file:///a/../b"])
    t.throws(() => new LiveRules({ allow: [line] }), { code: "layer-malformed" }, line);
});
