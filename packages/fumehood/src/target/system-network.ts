import { setGlobalProxyFromEnv } from 'node:http';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';

/**
 * From now on `fetch` trusts the certificates of this system besides those of Node, and uses the proxy of HTTPS_PROXY, HTTP_PROXY and
 * NO_PROXY, as other programs of the system do.
 */
export function useSystemNetwork(): void {
  setDefaultCACertificates([...new Set([...getCACertificates('default'), ...getCACertificates('system')])]);
  setGlobalProxyFromEnv();
}
