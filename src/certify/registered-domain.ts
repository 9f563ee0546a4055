/** The domain that somebody registered, below which a host name is: authorities count by it. The name itself if it is a public suffix. */
export async function registeredDomain(host: string): Promise<string> {
  // Its list takes memory that only those need who order certificates.
  const { getDomain } = await import('tldts');
  return getDomain(host, { allowPrivateDomains: true }) ?? host;
}
