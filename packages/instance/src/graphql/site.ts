import { namespaceNode } from './namespaces.ts';
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
    type User implements Namespace {
      id: ID!
      username: String!
      displayName: String
      "Null: you ask about somebody else."
      siteAdmin: Boolean
      url: String!
    }
  `,
  root: {
    site: () => ({ productVersion }),
    currentUser: (_: unknown, { person }) => namespaceNode(person.name),
  },
};
