import { Entity, type FeatureStore, FeatureView, Source } from "@ashlar/feature-store"

const account = Entity.make({ name: "account", joinKeys: { account: "string" } })
const balances = Source.make({ name: "balances", timestamp: "time" })

/** What the server under test serves features of. */
export const definitions: ReadonlyArray<FeatureStore.Definition> = [
  FeatureView.make({
    name: "account_balance",
    entity: account,
    source: balances,
    features: { balance: "float64" },
  }),
]
