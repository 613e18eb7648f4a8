/**
 * Returns the code host whose URL that of a repository begins with, and the path there. Of several the one with the longest URL counts.
 * Null: none is.
 */
export function hostOfUrl<H extends { readonly url: string }>(
  hosts: readonly H[],
  repositoryUrl: string,
): { readonly host: H; readonly path: readonly string[] } | null {
  const url = new URL(repositoryUrl).href;
  const [host] = hosts
    .filter((one) => url.startsWith(`${one.url}/`))
    .sort((a, b) => b.url.length - a.url.length);
  if (!host) return null;
  const path = url
    .slice(host.url.length + 1)
    .replace(/\/+$/, '')
    .replace(/\.git$/, '');
  return { host, path: path.split('/') };
}
