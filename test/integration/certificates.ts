import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';

export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** A certificate authority for one test, in files below its directory. */
export interface Authority {
  readonly caFile: string;
  /** Issues a certificate for names or addresses, which expires `days` from now. */
  issue(file: string, names: readonly string[], days?: number): CertificateFiles;
}

/** Creates a certificate authority with openssl, so that the files look like an admin's. */
export function makeAuthority(directory: string, name: string): Authority {
  const path = (file: string) => join(directory, `${name}-${file}`);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const caFile = path('ca.pem');
  const caKey = path('ca.key');
  openssl('req', '-x509', ...key, '-keyout', caKey, '-out', caFile, '-days', '2', '-subj', `/CN=${name}`);
  return {
    caFile,
    issue(file, names, days = 1) {
      const [request, extensions] = [path(`${file}.csr`), path(`${file}.ext`)];
      const files = { certificateFile: path(`${file}.pem`), keyFile: path(`${file}.key`) };
      openssl('req', ...key, '-keyout', files.keyFile, '-out', request, '-subj', `/CN=${names[0]}`);
      const subjects = names.map((one) => `${isIP(one) ? 'IP' : 'DNS'}:${one}`);
      writeFileSync(extensions, `subjectAltName=${subjects.join()}`);
      const signer = ['-CA', caFile, '-CAkey', caKey, '-CAcreateserial', '-days', String(days)];
      openssl(
        ...['x509', '-req', '-in', request, ...signer],
        ...['-out', files.certificateFile, '-extfile', extensions],
      );
      return files;
    },
  };
}
