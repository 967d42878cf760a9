/** Placeholder replaced below. */
export const Promotions = (_props: { readonly model: string }) => null
