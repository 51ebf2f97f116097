import test from "ava";
import { readRequirementsXml } from "../../../control/sessions/requirements/read-xml.ts";
import { checkRequirements } from "../../../control/sessions/requirements/requirements.ts";

/** Of the paper, with the declaration's space restored and the ellipses removed. */
const paper = `<?xml version="1.0" encoding="UTF-8"?>
<EnvironmentalRequirements>
  <Basic>
    <EnvName>MyEnvironment</EnvName>
    <EnvType>Linux</EnvType>
    <EnvKernel>2.4.18</EnvKernel>
  </Basic>
  <Network>
    <EnvIPAddresses>1</EnvIPAddresses>
  </Network>
  <QoS>
    <CPUmtps>150</CPUmtps>
    <NetMbps>5</NetMbps>
  </QoS>
</EnvironmentalRequirements>
`;
const same = {
  Basic: { EnvName: "MyEnvironment", EnvType: "Linux", EnvKernel: "2.4.18" },
  Network: { EnvIPAddresses: 1 },
  QoS: { CPUmtps: 150, NetMbps: 5 },
};

test("the paper's document is taken, and is the same in JSON", async (t) => {
  t.deepEqual(await readRequirementsXml(paper), same);
  t.deepEqual(checkRequirements(same), same);
});

test("comments, other orders and less than everything are taken", async (t) => {
  const little =
    "<EnvironmentalRequirements><!-- little --><Basic><EnvType> Linux </EnvType><EnvName>a</EnvName></Basic><QoS/></EnvironmentalRequirements>";
  t.deepEqual(await readRequirementsXml(little), { Basic: { EnvName: "a", EnvType: "Linux" }, QoS: {} });
});

const laughs = `<!DOCTYPE a [<!ENTITY a "ha">${Array.from({ length: 20 }, (_, at) => `<!ENTITY a${at} "&a${at - 1};&a${at - 1};">`).join("")}]>`;
const hostile: Record<string, string> = {
  "a bomb of entities": paper.replace("<Env", `${laughs}<Env`),
  "an external entity": paper
    .replace(
      "<EnvironmentalRequirements>",
      '<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]><EnvironmentalRequirements>',
    )
    .replace("Linux", "&x;"),
  "an external subset": paper.replace(
    "<EnvironmentalRequirements>",
    '<!DOCTYPE e SYSTEM "http://169.254.169.254/"><EnvironmentalRequirements>',
  ),
  "a DOCTYPE in small letters": paper.replace("<EnvironmentalRequirements>", "<!doctype e><EnvironmentalRequirements>"),
  "a DOCTYPE behind what seems a comment": paper.replace(
    "<EnvironmentalRequirements>",
    "<!-- --><!DOCTYPE e><!-- --><EnvironmentalRequirements>",
  ),
  "an entity that nobody declared": paper.replace("Linux", "&x;"),
  CDATA: paper.replace("Linux", "<![CDATA[Linux]]>"),
  "a deep document": "<a>".repeat(5000) + "</a>".repeat(5000),
  "a long one": paper.replace("Linux", "x".repeat(70_000)),
  "an element that nobody knows": paper.replace("<NetMbps>5</NetMbps>", "<Gold>5</Gold>"),
  "an element twice": paper.replace("<NetMbps>5</NetMbps>", "<NetMbps>5</NetMbps><NetMbps>6</NetMbps>"),
  "an amount that is none": paper.replace(">150<", ">1e9<"),
  "a negative amount": paper.replace(">150<", ">-1<"),
  "an amount beyond all": paper.replace(">150<", `>${"9".repeat(50)}<`),
  "a name of nothing": paper.replace("MyEnvironment", ""),
  "another root": paper.replaceAll("EnvironmentalRequirements", "Requirements"),
  "an attribute": paper.replace("<Basic>", '<Basic xmlns:x="y" x:z="1">'),
  "half a document": paper.slice(0, 200),
  "no XML": "hello",
  nothing: "",
  "a peak below the mean": paper.replace("<NetMbps>", "<CPUmtpsPeak>100</CPUmtpsPeak><NetMbps>"),
  "a group called __proto__": paper.replaceAll("Network", "__proto__"),
};
for (const [title, text] of Object.entries(hostile))
  test(`${title} is refused with the reason`, async (t) => {
    const error = await t.throwsAsync(readRequirementsXml(text), { code: "requirements-invalid" });
    t.true(error.message.length < 500);
  });

for (const [title, value] of Object.entries({
  nothing: null,
  "a list": [],
  "a field that nobody knows": { ...same, Price: 1 },
  "a fraction": { ...same, QoS: { CPUmtps: 0.5 } },
}))
  test(`in JSON, ${title} is refused`, (t) => {
    t.throws(() => checkRequirements(value), { code: "requirements-invalid" });
  });
