/** An HTTP proxy on the way to other machines, which is asked to CONNECT. */
export interface HttpProxy {
  /** `http://HOST:PORT` */
  readonly url: string;
  /** Hosts that are reached without it; `.example.com` stands for all its subdomains. Loopback never uses it. */
  readonly except: readonly string[];
}

/** Returns whether connections to `host:port` go through the proxy. */
export function goesThrough({ except }: HttpProxy, host: string, port: number): boolean {
  if (host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)) return false;
  return !except.some((entry) => {
    const name = entry.toLowerCase().replace(/^\*\./, '.');
    if (name === '*' || name === host || name === `${host}:${port}`) return true;
    return name.startsWith('.') && host.endsWith(name);
  });
}
