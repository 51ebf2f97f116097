/**
 * The page that a person finds at a XenoCorp's address. It makes an Ed25519 key in the browser (Web Crypto), registers it with a
 * proof as any other client does, and gives key and credential back as one file: the XenoCorp never has the key.
 */
export function registrationPage(name: string): string {
  const safeName = name.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Register with ${safeName}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem }
  label { display: block; margin: 1rem 0 .25rem }
  input, select, button { font: inherit; padding: .4rem .6rem; width: 100%; box-sizing: border-box }
  button { margin-top: 1.5rem }
  output { display: block; margin-top: 1.5rem; overflow-wrap: anywhere }
</style>
<h1>Register with ${safeName}</h1>
<p>Your key is made here, in your browser, and stays with you: keep the file that you get.</p>
<form>
  <label for="name">Name</label>
  <input id="name" name="name" required maxlength="200" autocomplete="name">
  <label for="contact">How to reach you</label>
  <input id="contact" name="contact" required maxlength="200" autocomplete="email">
  <label for="payment">How you pay or are paid</label>
  <input id="payment" name="payment" required maxlength="200">
  <label for="role">You are</label>
  <select id="role" name="role">
    <option value="client">a client, who deploys services</option>
    <option value="server">an operator of a XenoServer</option>
  </select>
  <button>Register</button>
</form>
<output aria-live="polite"></output>
<script type="module">
  const encode = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const encodeText = (text) => encode(new TextEncoder().encode(text));
  const output = document.querySelector("output");

  async function register(fields) {
    const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
    const key = await crypto.subtle.exportKey("jwk", keys.privateKey);
    const { role, name, ...details } = fields;
    const body = JSON.stringify({ role, name, details });
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body));
    const header = { alg: "EdDSA", typ: "dpop+jwt", jwk: { kty: key.kty, crv: key.crv, x: key.x } };
    const address = new URL("/v1/registrations", location).href;
    const claims = { jti: crypto.randomUUID(), htm: "POST", htu: address, iat: Date.now(), bdy: encode(digest) };
    const signed = encodeText(JSON.stringify(header)) + "." + encodeText(JSON.stringify(claims));
    const signature = await crypto.subtle.sign("Ed25519", keys.privateKey, new TextEncoder().encode(signed));
    const dpop = signed + "." + encode(signature);
    const reply = await fetch(address, { method: "POST", headers: { "content-type": "application/json", dpop }, body });
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.message + (answer.hint ? ". " + answer.hint : ""));
    const { kty, crv, x, d } = key;
    return { ...answer, key: { kty, crv, x, d } };
  }

  document.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const account = await register(Object.fromEntries(new FormData(event.target)));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([JSON.stringify(account)], { type: "application/json" }));
      link.download = "xenocorp-account.json";
      link.textContent = "Save your key and credential";
      output.replaceChildren("You are " + account.holder + ". ", link);
    } catch (error) {
      output.textContent = error.message;
    }
  });
</script>
</html>
`;
}
