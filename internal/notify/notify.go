// Package notify tells people and programs what happened: generic webhooks, chat and mail.
//
// It promises that no message holds a secret, that each attempt ends within its time, and that what a receiver
// answers is bounded. What is worth telling, and when again, is left to the caller.
package notify
