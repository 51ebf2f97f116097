/**
 * Whose requests they are: the AWS SDK's own chain (environment, shared credentials file, container, process, SSO, web
 * identity), so that whatever an operator already has works.
 *
 * The instance metadata service is asked only where `AWS_EC2_METADATA_DISABLED=false` says so: it is an address that a
 * machine without it waits for in vain, and link-local addresses are the guests' on a XenoServer.
 */
import { defaultProvider } from "@aws-sdk/credential-provider-node";

export type CredentialProvider = ReturnType<typeof defaultProvider>;

/** Reads the files anew: what replaced expired credentials is found without a restart. */
export function createCredentialProvider(profile: string | undefined): CredentialProvider {
  process.env.AWS_EC2_METADATA_DISABLED ??= "true";
  return defaultProvider({ profile, ignoreCache: true });
}
