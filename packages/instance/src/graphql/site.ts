import type { SchemaPart } from './part.ts';

/** The release of upstream's server whose fields these are. Clients choose by it what they ask for; they refuse what is no version. */
const productVersion = '5.6.0';

/** What clients ask first: which server this is, and who asks. */
export const sitePart: SchemaPart = {
  types: `
    extend type Query {
      site: Site!
      "Who the access token belongs to."
      currentUser: User
    }
    type Site { productVersion: String! }
    type User { id: ID!, username: String!, displayName: String, siteAdmin: Boolean!, url: String! }
  `,
  root: {
    site: () => ({ productVersion }),
    currentUser: (_: unknown, { person }) => ({
      id: Buffer.from(`User:${person.userId}`).toString('base64'),
      username: person.name,
      displayName: null,
      siteAdmin: person.admin,
      url: `/users/${encodeURIComponent(person.name)}`,
    }),
  },
};
