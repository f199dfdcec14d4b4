"""What is said in the made-up calls: a dozen conversations with places for a name and a day.

In:   nothing.  Out: `SCRIPTS`, `VOICEMAIL`, and who takes part.

A turn is (sender, text); the senders are "bot" and "human", as the platform names them.
"""

from typing import Literal, NamedTuple

Sender = Literal["bot", "human"]
Script = tuple[tuple[Sender, str], ...]


class Assistant(NamedTuple):
    """Who answers or dials, and on which line."""

    name: str
    phone_number: str


# The tables by which `assistant_id` and `campaign_id` filter: a row of the list carries only the names. All
# phone numbers come from the ranges that the authorities of each country keep free for stories.
ASSISTANTS: dict[int, Assistant] = {
    301: Assistant("Sales Assistant", "+12025550143"),
    302: Assistant("Support Line", "+12025550178"),
    303: Assistant("Front Desk Sarah", "+442079460112"),
    304: Assistant("Praxis Dr. Müller", "+493023125014"),
    305: Assistant("Appointment Reminder", "+13125550119"),
}
CAMPAIGNS: dict[int, str] = {
    71: "Q4 Outreach Campaign",
    72: "Appointment Reminders",
    73: "Renewals Autumn / North",
    74: "Zufriedenheit Köln",
}
PERSONS = (
    "John Smith",
    "Maria Garcia",
    "Jürgen Groß",
    "Aisha Khan",
    "Chloé Dubois",
    "Tom O'Neill",
    "Li Wei",
    "Grace Okafor",
    "Søren Holm",
    "Emma Brown",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday at 9:30", "Friday after lunch", "the 15th")

VOICEMAIL: Script = (
    ("human", "You have reached the voicemail of {person}. Please leave a message after the tone."),
    ("bot", "Hello {person}, this is a message about your appointment on {day}. Please call us back when you can."),
)

SCRIPTS: tuple[Script, ...] = (
    (
        ("bot", "Hello, this is Sarah from Bright Dental. How are you doing today?"),
        ("human", "Fine, thanks. I need to move my appointment."),
        ("bot", "Of course. May I have your name, please?"),
        ("human", "{person}."),
        ("bot", "Thank you. I can offer you {day}. Would that suit you?"),
        ("human", "That works."),
        ("bot", "Wonderful, I have moved your appointment to {day}. Is there anything else?"),
        ("human", "No, that's all. Bye!"),
    ),
    (
        ("bot", "Hi, am I speaking with {person}?"),
        ("human", "Yes, who is this?"),
        ("bot", "This is Alex from Northwind Solar. You asked for a quote for your roof."),
        ("human", "Oh right. How much would it be for about 40 square metres?"),
        ("bot", "Between nine and eleven thousand, before the subsidy. Our engineer can come by on {day}."),
        ("human", "Okay, put me down for that."),
        ("bot", "Done. You will get a confirmation by text message."),
    ),
    (
        ("bot", "Support line, you are speaking with the virtual assistant. What can I do for you?"),
        ("human", "My router keeps dropping the connection every ten minutes or so."),
        ("bot", "I am sorry to hear that. Is the light on the front green or orange?"),
        ("human", "Orange. And it's blinking."),
        ("bot", "Then please hold the button on the back for ten seconds and wait until it turns green."),
        ("human", "... okay, it's green now."),
        ("bot", "Great! If it happens again, a technician can visit you on {day}."),
    ),
    (
        ("bot", "Good morning, Hotel Seeblick, how may I help you?"),
        ("human", "Do you have a double room from {day}, two nights?"),
        ("bot", "Yes, a room with a view of the lake at 129 euros a night, breakfast included."),
        ("human", "Perfect. The name is {person}."),
        ("bot", "Thank you, {person}. Your room is reserved."),
    ),
    (
        ("bot", "Guten Tag, Praxis Dr. Müller, Sie sprechen mit der Assistentin. Was kann ich für Sie tun?"),
        ("human", "Grüß Gott, ich bräuchte ein Rezept für meine Mutter."),
        ("bot", "Gerne. Auf welchen Namen, bitte?"),
        ("human", "{person}."),
        ("bot", "Das Rezept liegt ab morgen für Sie bereit. Schönen Tag noch! 😊"),
    ),
    (
        ("bot", "Hello {person}, this is the reminder service of City Clinic about your check-up on {day}."),
        ("human", "Thanks, I'll be there."),
        ("bot", "Great, see you then. Please bring your insurance card."),
    ),
    (
        ("bot", "Hi {person}, this is Emma from Harbor Insurance. Your car policy ends next month."),
        ("human", "I'm not interested, please take me off your list."),
        ("bot", "I understand. I have removed your number. Have a good day."),
    ),
    (
        ("bot", "Thank you for calling Luigi's. Would you like to order or book a table?"),
        ("human", "A table for six on {day}, please 🍕"),
        ("bot", "For six, certainly. On what name?"),
        ("human", "{person}. And one of us is allergic to nuts."),
        ("bot", "I have noted the allergy. We look forward to seeing you!"),
    ),
    (
        ("bot", "Hello, this is the delivery service of Parcel One. We could not reach you yesterday."),
        ("human", "Yeah, the bell is broken. Can you leave it with my neighbour?"),
        ("bot", "With pleasure. It will be there on {day}."),
        ("human", "Cheers."),
    ),
    (
        ("bot", "Hi, you contacted us about the three-room flat in the old town. Is it still of interest to you?"),
        ("human", "Yes! When could I see it?"),
        ("bot", "There is a viewing on {day}. Shall I put your name on the list?"),
        ("human", "Please do. {person}, two people."),
        ("bot", 'You are on the list. The agent will call you "shortly" before: that\'s 5/10 minutes.'),
    ),
)
