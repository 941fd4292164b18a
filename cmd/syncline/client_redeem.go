// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/syncline-dev/syncline/api/client"
)

func redeemCommand() *cobra.Command {
	return &cobra.Command{
		Use: "redeem CODE", Short: "Redeem a coupon code", Args: exactly("the code of a coupon"),
		Long:    "Redeem a coupon code. It takes something off the present month's invoice and those of the months after it, as long as it holds.",
		Example: "  syncline redeem LAUNCH-2027",
		RunE:    withSession(func(ctx context.Context, s *session, args []string) error { return s.redeem(ctx, args[0]) }),
	}
}

func (s *session) redeem(ctx context.Context, code string) error {
	key := uuid.NewString()
	res, err := s.api.RedeemCouponWithResponse(ctx, &client.RedeemCouponParams{IdempotencyKey: &key}, client.CouponRedemption{Code: code})
	if err != nil {
		return answered(nil, nil, err)
	}
	if err := answered(res.HTTPResponse, res.Body, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(res.JSON200)
	}
	coupons := res.JSON200.Coupons
	s.say("Redeemed: %s. The draft of the present month shows it.", coupons[len(coupons)-1])
	return nil
}
