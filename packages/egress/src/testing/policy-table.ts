/** What becomes of what a guest tries. */
type Verdict = 'no such name' | 'resolved' | 'no address' | 'reset' | 'allowed' | 'not looked at' | 'dropped';

/** How a test tries it. */
type Attempt =
  /** A question for the addresses of a name, of the type A if no other is named. */
  | { readonly ask: string; readonly type?: 'AAAA' }
  /** TCP to an address, after a question for a name if there is one. */
  | { readonly connect: string; readonly after?: string }
  /** TLS to an allowed host with a hello of this kind. */
  | { readonly hello: 'other name' | 'no name' | 'encrypted' | 'broken' }
  /** A command of `test/network/client.c` or of `frames.c`, which only a guest can run. */
  | { readonly command: string };

interface Row {
  readonly tries: string;
  readonly allow: Verdict;
  readonly public: Verdict;
  readonly attempts: readonly Attempt[];
}

/** The policy `allow` of the table. */
export const allowPolicy = 'allow:mirror.test,*.test:80';
/** An address of the host that is on the public internet. */
export const ownAddress = '1.0.0.1';
/** What the name servers answer, one after the other; other names do not exist. */
export const zone: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'a.test': [['1.1.1.1']],
  'other.example': [['1.1.1.1']],
  'private.test': [['10.1.2.3']],
  'metadata.test': [['169.254.169.254']],
  'mixed.test': [['1.1.1.1', '10.1.2.3']],
  'own.test': [[ownAddress]],
  'rebind.test': [['1.1.1.1'], ['127.0.0.1']],
};

/** What a guest tries, and what becomes of it under each policy: the table of docs/network.md. Each row is tried by a test. */
export const policyTable: readonly Row[] = [
  {
    ...{ tries: 'a name that the policy does not have', allow: 'no such name', public: 'resolved' },
    attempts: [{ ask: 'other.example' }],
  },
  {
    ...{
      tries: 'a name one of whose addresses is not public',
      allow: 'no such name',
      public: 'no such name',
    },
    attempts: ['private.test', 'metadata.test', 'mixed.test', 'own.test'].map((ask) => ({ ask })),
  },
  {
    tries: 'a name that was public and leads to a private address now (rebinding)',
    ...{ allow: 'no such name', public: 'no such name', attempts: [{ ask: 'rebind.test' }] },
  },
  {
    tries: 'the IPv6 addresses of a name',
    ...{ allow: 'no address', public: 'no address', attempts: [{ ask: 'a.test', type: 'AAAA' }] },
  },
  {
    ...{ tries: 'a raw public address', allow: 'reset', public: 'allowed' },
    attempts: [{ connect: '1.1.1.1' }],
  },
  {
    tries: 'a private, loopback, link-local, metadata or other special address, or one of the host',
    ...{ allow: 'reset', public: 'reset' },
    attempts: ['10.1.2.3', '127.0.0.1', '169.254.1.1', '169.254.169.254', '100.64.0.1', ownAddress].map(
      (connect) => ({ connect }),
    ),
  },
  {
    tries: 'a private name to which an allowed server redirects',
    ...{ allow: 'reset', public: 'reset', attempts: [{ connect: '10.1.2.3', after: 'private.test' }] },
  },
  {
    tries: 'TLS with another server name than that of the address, or without one',
    ...{ allow: 'reset', public: 'not looked at', attempts: [{ hello: 'other name' }, { hello: 'no name' }] },
  },
  {
    tries: 'TLS with an encrypted hello, or one that breaks the rules',
    ...{ allow: 'reset', public: 'not looked at', attempts: [{ hello: 'encrypted' }, { hello: 'broken' }] },
  },
  {
    ...{ tries: 'another resolver', allow: 'dropped', public: 'dropped' },
    attempts: [{ command: 'client udp 8.8.8.8 53' }, { command: 'client udp 10.99.0.1 53' }],
  },
  {
    ...{ tries: 'UDP 443', allow: 'dropped', public: 'dropped' },
    attempts: [{ command: 'client udp 1.1.1.1 443' }],
  },
  {
    ...{ tries: 'ICMP', allow: 'dropped', public: 'dropped' },
    attempts: [{ command: 'client ping 172.31.0.1' }, { command: 'client ping 1.1.1.1' }],
  },
  {
    ...{ tries: 'IPv6', allow: 'dropped', public: 'dropped' },
    attempts: [{ command: "frames packet eth0 'router advertisement'" }],
  },
];

/** What only a guest can try, as commands, and the lines that they print when it is dropped. */
export const guestCommands: readonly { readonly command: string; readonly dropped: string }[] = policyTable
  .flatMap(({ attempts }) => attempts.flatMap((one) => ('command' in one ? [one.command] : [])))
  .map((command) => {
    const [program, what, address, port] = command.split(' ');
    const dropped =
      program === 'frames'
        ? 'router advertisement\t-\ttcp 0, udp 0, arp 0, icmp 0'
        : `${what} ${address}${port === undefined ? '' : `:${port}`}: silence`;
    return { command, dropped };
  });
