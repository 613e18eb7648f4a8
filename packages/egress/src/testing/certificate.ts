import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes a certificate for these names that is signed by itself, and its key, both as PEM. */
export function testCertificate(names: readonly string[]): { readonly key: string; readonly cert: string } {
  const directory = mkdtempSync(join(tmpdir(), 'fumehood-tls-'));
  const argv = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=x'.split(
    ' ',
  );
  const alternatives = `subjectAltName=${names.map((name) => `DNS:${name}`).join()}`;
  const files = ['-keyout', 'key.pem', '-out', 'cert.pem', '-addext', alternatives];
  try {
    execFileSync('openssl', [...argv, ...files], { cwd: directory, stdio: 'ignore' });
    const read = (name: string) => readFileSync(join(directory, name), 'utf8');
    return { key: read('key.pem'), cert: read('cert.pem') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
