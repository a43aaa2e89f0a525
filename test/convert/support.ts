/** What a survey gives as a plan. */
import type { ConvertPlan, ConvertSurvey } from "../../lib/convert/plan.ts";

/** The plan, or the first of what stands in its way. */
export async function planOf(surveyed: Promise<ConvertSurvey>): Promise<ConvertPlan> {
  const { plan, problems } = await surveyed;
  if (plan) return plan;
  throw problems[0];
}
