import { XenoError } from "../../cowfs/errors.ts";

/** What a compact JWS says, unproved: to find the key in it that must have signed it. Throws `signature-invalid`. */
export function decodePayload(text: string, maxBytes: number): object {
  try {
    if (text.length > maxBytes) throw new Error("it is too long");
    const payload: unknown = JSON.parse(Buffer.from(text.split(".")[1]!, "base64url").toString("utf8"));
    if (typeof payload !== "object" || payload === null) throw new Error("it says nothing");
    return payload;
  } catch (cause) {
    throw new XenoError("signature-invalid", `this is no signed text: ${(cause as Error).message}`, { cause });
  }
}
