/**
 * Where the host's tools are looked for. Not in the PATH that we were started with: npm puts node_modules/.bin first, and
 * there is an `nft` in it that is not nftables, takes a rule set for file names, and succeeds.
 */
export const systemEnvironment: NodeJS.ProcessEnv = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LC_ALL: "C",
};
