/** What guests boot unless a deployment names another kernel. */
export const defaultKernel = "template://Debian-kernel/6.1/current";
