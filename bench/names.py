"""What contacts are called in an inbox: half by the names of people of many languages, most others by a phone number.

Nearly all names are different, as they are in an inbox, so that there are about as many words as conversations. A name
has no leading, trailing or double blank, and no blank but U+0020.
"""

import random
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["contact_name"]


@dataclass(frozen=True, slots=True)
class _Language:
    given: list[str]
    family: list[str]
    """The first ones of both are the most frequent."""
    syllables: list[str]
    """Of which other names are made up."""
    join: str = " "
    family_first: bool = False

    def made_up(self, generator: random.Random, syllables: int = 3) -> str:
        word = "".join(generator.choices(self.syllables, k=syllables))
        return word[0].title() + word[1:]


def _language(given: str, family: str, syllables: str, *, join: str = " ", family_first: bool = False) -> _Language:
    return _Language(given.split(), family.split(), syllables.split(), join, family_first)


_ENGLISH = _language(
    "Ada Alan Grace Linus Margaret Dennis Barbara Ken Radia Edsger Frances John Karen Tim Joan Guido Anna",
    "Lovelace Turing Hopper Torvalds Hamilton Ritchie Liskov Thompson Perlman Dijkstra Allen Backus Jones",
    "ka re mi no la ti so ve da lu pe ri ga to shi en or an el is um ber ton son wal ner gar",
)

_OTHERS = [
    _language(  # German
        "Anna Lukas Jürgen Käthe Günther Sören Björn Heike Uwe Ulrike Jörg Mareike Hannelore Friedrich Änne Özlem",
        "Müller Schmidt Weiß Schröder Krüger Groß Köhler Bäcker Jäger Vogel Lange Strauß Möller Böhm",
        "schwarz stein berg hof mann bach feld grün wald hau ser brandt schä fer kö nig lö we rü dig er en",
    ),
    _language(  # French
        "Anaïs François Zoé Hélène Benoît Chloé Étienne Gaëlle Jérôme Léa Noël Océane René Solène Thérèse Élodie",
        "Lefèvre Durand Moreau Béranger Gérard Mérieux Dubois Châtelain Garçon Lemaître Rousseau Hervé",
        "beau mont four nier ché ron vil le dé gra ni rè che lam bert ou vrard çon mar tin tre al ois",
    ),
    _language(  # Spanish
        "María José Ana Íñigo Lucía Andrés Begoña Sofía Martín Raúl Inés Óscar Ángela Nuria Tomás Belén",
        "García Muñoz Núñez Rodríguez López Peña Ibáñez Castaño Sánchez Jiménez Márquez Zúñiga Vélez",
        "gue rre ro mo li na es pi no sa cas ti llo ve ga ñez al ba cor tés ra mí rez da lla",
    ),
    _language(  # Portuguese
        "João Ana Conceição Luís Inês António Mônica Sérgio Antônia Tânia Caetano Débora Álvaro Lívia",
        "Silva Araújo Gonçalves Magalhães Simões Guimarães Brandão Assunção Leitão Falcão Lourenço",
        "quei roz bra gan ça mon tei ro cam pos ão ba sil va lei te fon se ca al mei da nhas lhe",
    ),
    _language(  # Italian
        "Anna Niccolò Giulia Chiara Matteo Noemi Zaira Alessandro Ludovica Federico Sveva Fabrizio Cosimo",
        "Rossi Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo Conti Nicolò",
        "gia co mel li sca ra muz zi bel la vi ta ne ri ghe rar do na tel cic cio ni va len ti",
    ),
    _language(  # Polish
        "Anna Łukasz Małgorzata Paweł Zofia Wojciech Grażyna Michał Agnieszka Józef Świętosława Żaneta Bożena",
        "Nowak Wiśniewski Wójcik Kowalczyk Zieliński Szymański Woźniak Dąbrowski Kozłowski Gołąb Żak",
        "gra bow ski cza rne cka wró bel sie kie rzy ński ław ni czak brzo zo wy pie trza łęc mar szał ek",
    ),
    _language(  # Czech and Slovak
        "Jiří Anna Zdeněk Kateřina Ondřej Lubomír Žofie Štěpán Ľudmila Přemysl Růžena Vojtěch Šárka",
        "Novák Dvořák Černý Procházka Kučera Veselý Růžička Němec Šťastný Křížek Beneš Hruška",
        "hav lí ček ko pec ký sla vík ma tou šek hor ňák pro šek vá cla ře há ji nov sed lá",
    ),
    _language(  # Hungarian
        "Anna László Zsófia Győző Ágnes Gergő Krisztián Eszter Örs Ünige Béla Tünde Zoltán",
        "Nagy Szabó Kovács Tóth Horváth Kőszegi Gőgös Csányi Székely Bíró Vörös Szűcs",
        "ba la ton szent ger gely ke mé nyi vár he gyi fe ke te ha lász mol nár ré vész őri csik",
        family_first=True,
    ),
    _language(  # Romanian
        "Ștefan Ana Ioana Mădălina Gheorghe Răzvan Ilinca Țvetana Bogdan Smaranda Cătălin Mihaela",
        "Popescu Ionescu Dumitrașcu Țepeș Stănescu Brâncuși Munteanu Ciobănoiu Rusu Lăcătuș",
        "mol do vea nu ră du les cu bră ti an bă lan crea ngă cio ran va si le ște fă nes țu",
    ),
    _language(  # Turkish
        "Ayşe İbrahim Çağla Gökhan Şule Oğuz Işıl Ümit Özge Kağan Nâzım Tuğba Emre Anıl",
        "Yılmaz Öztürk Çelik Şahin Yıldız Aydın Kılıç Güneş Doğan Erdoğmuş Işık Ünal",
        "ka ra bağ ak taş de mir ci oğ lu yıl dı rım kö se gül bü yük er do ğan tür koç su",
    ),
    _language(  # Vietnamese
        "Anh Dũng Hương Nguyệt Phượng Quốc Thảo Tuấn Vân Yến Đức Minh Ngọc Thủy",
        "Nguyễn Trần Lê Phạm Hoàng Huỳnh Võ Đặng Bùi Đỗ Ngô Dương Lý",
        "thị văn hữu đình xuân kim ngân bích quang trọng khánh diễm châu tường giang sơn hải long phúc",
        family_first=True,
    ),
    _language(  # Swedish, Danish and Norwegian
        "Åsa Björn Jørgen Søren Håkon Märta Göran Øyvind Linnéa Pål Anna Ægir Torbjørn Sigrid",
        "Åkesson Sørensen Lindström Bjørnstad Sjöberg Nørgaard Hägg Grønlund Öberg Aaløkken Ek",
        "lund gren berg strøm kvist sjö ny ström ås dal vik holm sten fjell bø gård ham mar rud",
    ),
    _language(  # Finnish and Estonian
        "Päivi Jääskä Mikko Väinö Õnne Aino Kyösti Tõnu Mäelle Hannele Ülle Eeva Anna",
        "Virtanen Mäkinen Hämäläinen Järvinen Kärkkäinen Põld Rüütel Öpik Laine Nieminen",
        "ko ski nie mi la hti mä ki jär vi pelto sa lo kangas rin ne ai nen löy ty har ju",
    ),
    _language(  # Russian
        "Анна Дмитрий Екатерина Сергей Ольга Алексей Наталья Владимир Юлия Пётр Людмила Фёдор Зинаида",
        "Иванов Смирнова Кузнецов Попова Васильев Соколова Михайлов Новикова Фёдоров Щукин Цветаева",
        "бе ре зин ко ва лёв ов ский го лу бе ва мо ро зо жу рав лё тка чен ла рин ши ше ин",
    ),
    _language(  # Ukrainian
        "Олександр Оксана Тарас Їжакевич Ганна Богдан Євгенія Мирослав Лілія Ґжегож Юрій Соломія",
        "Шевченко Коваленко Бондаренко Ткачук Кравчук Олійник Поліщук Гнатюк Їжак",
        "гри цен ко по ва лю чук са вчен ле вицький ма ко гон ві тер ко но до ро шен тю ня",
    ),
    _language(  # Bulgarian and Serbian
        "Георги Иванка Ђорђе Љубица Драган Њежа Милица Христо Цветана Бранко Ана Радка",
        "Петров Димитрова Јовановић Ђурић Николић Стоянов Георгиева Петровић Тодорова",
        "ста но је вић ра до сла вов ми лен ко ди мо ва жи вко зла та рев бо жи лов ђе ри",
    ),
    _language(  # Greek
        "Γιώργος Μαρία Κωνσταντίνος Ελένη Δημήτρης Άννα Νίκος Ευαγγελία Σπύρος Όλγα Θεόδωρος Χρυσούλα",
        "Παπαδόπουλος Γεωργίου Οικονόμου Νικολαΐδης Αντωνίου Παππάς Χατζής Βλάχος Ξενάκης",
        "κα ρα γιάν νης πα πα δά κη θε ο δω ρί δου λά μπρου σα ββί μαυ ρο ψάλ τη ζή σιμος",
    ),
    _language(  # Armenian
        "Արամ Անի Հայկ Նարինե Տիգրան Սիրանուշ Վարդան Գոհար Լևոն Մարիամ",
        "Սարգսյան Հակոբյան Գրիգորյան Պետրոսյան Մկրտչյան Խաչատրյան Ղազարյան",
        "բա ղրա մյան ավե տի սյան դա վթ ստե փա նյան մա նու կյան սա հա կյան պո ղո",
    ),
    _language(  # Georgian
        "გიორგი ნინო დავით მარიამ ლევან ანა თამარ ირაკლი ქეთევან ზურაბ",
        "ბერიძე კაპანაძე გელაშვილი მაისურაძე ლომიძე წიკლაური ჩხეიძე",
        "მა ჭა ვა რი ანი ძე შვი ლი ყი ფი და დი კო ბა ხი ძვა გო გი ბო ჯღა რკა",
    ),
    _language(  # Arabic
        "محمد فاطمة أحمد عائشة خالد مريم يوسف زينب عمر نور إبراهيم ليلى حسن هدى",
        "الأحمد الحسن المصري حداد الشامي العلي منصور الخطيب النجار القاسم الزهراني",
        "سل مان قح طان را شد عب دال رح من فا رس كن عان با سم شه راني غا مد",
    ),
    _language(  # Persian and Urdu
        "رضا زهرا علی پریسا حسین گلناز مهدی شیرین کامران ژاله آرش نگار",
        "حسینی محمدی کریمی رضایی جعفری صادقی چوہدری قریشی موسوی پهلوان",
        "گل زا ده شا هی نو روز کا ظم پور مه ر بان جه ان گیر فر خ نیا ست وده",
    ),
    _language(  # Hebrew
        "דוד שרה משה רחל יוסף מרים אברהם נועה יעל אורי תמר עידו חנה",
        "כהן לוי מזרחי פרץ ביטון דהן אברהם פרידמן אזולאי שפירא גולדברג",
        "בר גולד שט ין רו זנ פל דמן ויס ברג קל יין אל מו ג שרון ירו שלמ",
    ),
    _language(  # Hindi
        "राहुल प्रिया अमित अनिता संजय पूजा विक्रम सुनीता अर्जुन कविता मोहन लक्ष्मी",
        "शर्मा वर्मा सिंह गुप्ता पटेल यादव कुमार मिश्रा जोशी चौहान",
        "श्री वास तव रा जपूत मल्हो त्रा दे शमुख ना यर भट् टाचा र्य खन् ना अग्र वाल ठा कुर",
    ),
    _language(  # Bengali
        "রহিম সুমিতা অরুণ ফাতেমা সৌরভ মিতা কামাল নন্দিনী তপন শিউলি",
        "বন্দ্যোপাধ্যায় দাস হোসেন চৌধুরী সেন রহমান ঘোষ খাতুন",
        "মু খো পা ধ্যায় চট্টো গঙ্গো সর কার মণ্ড ল বিশ্ বাস ভট্টা চার্য রায় দত্ত নাথ শীল পাল",
    ),
    _language(  # Tamil
        "முருகன் லட்சுமி கார்த்திக் மீனா செல்வம் கவிதா அருண் பிரியா",
        "சுப்பிரமணியம் ராஜன் கண்ணன் பாண்டியன் செல்வராஜ் நடராஜன்",
        "வே ல் மு ரு க ன் ரா ம லிங் கம் சி வ கு மார் பா ல கி ருஷ் ணன் தங் கவே",
    ),
    _language(  # Thai
        "สมชาย สุดา ประเสริฐ มาลี วิชัย นิดา อนันต์ กมลา ธนา พิมพ์",
        "ศรีสุข ทองดี แสงจันทร์ วงศ์สวัสดิ์ บุญมี รัตนกุล ชัยชนะ",
        "พง ศ์ สุ วร รณ กิจ เจ ริญ ชัย ทอง ใจ ดี มา ลัย วัฒ นา บุญ ศรี แก้ว วงศ์ ธรรม",
    ),
    _language(  # Chinese
        "小明 丽 伟 秀英 建国 芳 志强 淑珍 浩然 子涵",
        "王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭 马 罗",
        "雨 欣 宇 轩 梦 琪 嘉 怡 俊 杰 诗 涵 梓 豪 思 远 静 雯 晓 峰 海 燕 国 华 文 博 天 佑 春 梅 玉 兰 德 明",
        join="",
        family_first=True,
    ),
    _language(  # Japanese
        "太郎 花子 健一 美咲 翔太 さくら 大輔 陽子 ゆうき あおい",
        "佐藤 鈴木 高橋 田中 渡辺 伊藤 山本 中村 小林 加藤",
        "美 智 子 健 雄 太 奈 恵 里 之 介 翔 陽 香 織 真 央 悠 斗 結 菜 大 輝 彩 花 直 樹 和 也",
        family_first=True,
    ),
    _language(  # Japanese, in Katakana
        "タロウ ハナコ ケンイチ ミサキ ショウタ サクラ ダイスケ ヨウコ",
        "サトウ スズキ タカハシ タナカ ワタナベ イトウ ヤマモト ナカムラ",
        "カ ワ サ キ モリ タ ノ ハ ラ ミ ズ シマ フジ オカ ムラ イシ ヤマ ニシ ガ ワ ホン ドウ クボ",
        family_first=True,
    ),
    _language(  # Korean
        "민준 서연 지훈 수빈 영희 철수 하은 도윤 은정 현우",
        "김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권",
        "민 준 서 연 지 훈 수 빈 영 희 철 하 은 도 윤 정 현 우 미 경 태 형 나 라 소 진 혜 원 성 호",
        join="",
        family_first=True,
    ),
    _language(  # Amharic
        "አበበ ሰላም ተስፋዬ ሃና ዮሐንስ ማርታ ገብረ ብርሃን",
        "ተክለ ወልደ ኃይለ ደስታ ከበደ መኮንን ታደሰ",
        "ገ ብረ መ ድኅ ን ወ ልደ ማ ርያም ሥ ላሴ ኃ ይለ ሚ ካኤል ተ ስፋ አ ለም ሰ ገድ",
    ),
    _language(  # Yoruba and Igbo
        "Adébáyọ̀ Chinyere Olúwaṣeun Ngọzi Táíwò Adaeze Ọlábísí Emeka Ṣadé Anwuli",
        "Adéyẹmí Okonkwo Ọ̀ṣúnlàjà Nwosu Balógun Eze Akíntọ́lá Ọkafọ",
        "o lu wa a de yẹ mi nwa chu kwu ọlá tún dé ba jọ ifẹ kan ṣo la eze ike",
    ),
    _language(  # Swahili, Indonesian and Filipino
        "Amani Zawadi Juma Putri Agus Dewi Budi Maricel Jomar Neema Baraka Siti Anak",
        "Mwangi Santoso Wijaya Dela-Cruz Reyes Kamau Otieno Hartono Macaraeg",
        "nya wi ra ku su ma ha di pra ta mwa ngi ka ba lo na sa ri bi nti wa yan",
    ),
]
_ENGLISH_SHARE = 0.3
# Most write in Latin letters.
_WEIGHTS = list(accumulate(3 if language.given[0] < "\u0370" else 1 for language in _OTHERS))

# How a number begins, how many digits follow, and how many numbers of a hundred begin so.
_PHONES = [
    *(("+4915", 9, 35), ("+4916", 9, 10), ("+4917", 9, 25)),
    *(("+336", 8, 5), ("+447", 9, 5), ("+1", 10, 5), ("+5511", 9, 5), ("+919", 9, 5), ("+346", 8, 3), ("+905", 9, 2)),
]
_PHONE_WEIGHTS = list(accumulate(weight for *_, weight in _PHONES))


def contact_name(generator: random.Random) -> str:
    """Return a name: of a person for 50 %, a phone number for 40 %, a nickname or an e-mail address for 10 %."""
    kind = generator.random()
    if kind < 0.5:
        language = (
            _ENGLISH if generator.random() < _ENGLISH_SHARE else generator.choices(_OTHERS, cum_weights=_WEIGHTS)[0]
        )
        return _person(generator, language)
    if kind < 0.9:
        start, digits, _ = generator.choices(_PHONES, cum_weights=_PHONE_WEIGHTS)[0]
        return f"{start}{generator.randrange(10**digits):0{digits}}"
    nickname = _ENGLISH.made_up(generator).lower() + generator.choice(("", ".", "_")) + str(generator.randrange(10_000))
    return nickname if generator.random() < 0.5 else f"{nickname}@example.com"


def _person(generator: random.Random, language: _Language) -> str:
    """Each name has a made-up part: lists alone would have few combinations."""
    given = [_frequent(generator, language.given)]
    if generator.random() < 0.4:
        family = _frequent(generator, language.family)
        given.append(language.made_up(generator, generator.randint(2, 3)))
    else:
        family = language.made_up(generator)
    return language.join.join([family, *given] if language.family_first else [*given, family])


def _frequent(generator: random.Random, names: list[str]) -> str:
    return names[int(len(names) * generator.random() ** 2)]
