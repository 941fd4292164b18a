// SPDX-License-Identifier: Apache-2.0

package manifest

// Manifest is what a manifest.yaml says of a system. The `doc` tags are the reference of the format: the published schema and
// the documentation are made from them.
type Manifest struct {
	Version   int               `yaml:"manifest" doc:"The version of this format: 1." must:"true"`
	Type      string            `yaml:"type" doc:"The word that documents use as a system's type: lower case letters, digits and dashes." must:"true"`
	Aliases   []string          `yaml:"aliases" doc:"Other words for the same type."`
	Title     string            `yaml:"title" doc:"The system's name as people know it." must:"true"`
	Summary   string            `yaml:"summary" doc:"One sentence about what the connector does." must:"true"`
	Class     string            `yaml:"class" doc:"The price class." enum:"standard,premium"`
	Guarantee string            `yaml:"guarantee" doc:"What a delivery can promise, in one sentence."`
	Settings  []Setting         `yaml:"settings" doc:"What a connection needs. The form, its checks and its help are made from it."`
	Regions   []Region          `yaml:"regions" doc:"The regions of a vendor with several hosts. A connection chooses one by the setting region; the first is the default."`
	BaseURL   string            `yaml:"baseUrl" doc:"Where paths begin, with placeholders of settings: https://{settings.subdomain}.example.com/api." must:"true"`
	SecondURL string            `yaml:"secondUrl" doc:"Where calls go while baseUrl cannot be reached, in the same form: usually {settings.secondUrl}, a setting that may be left empty. For a minute at a time; the connection's health says so."`
	RootURL   string            `yaml:"rootUrl" doc:"Where a next path in an answer begins, if not at baseUrl."`
	Headers   map[string]string `yaml:"headers" doc:"Headers of every request: versions, media types."`
	Auth      []Auth            `yaml:"auth" doc:"Ways to prove who is calling; the first whose settings are all filled in is used."`
	Tokens    []CallToken       `yaml:"tokens" doc:"Tokens that some calls carry in place of the connection's own."`
	Check     *Request          `yaml:"check" doc:"A request that succeeds when the credentials do, used to test a connection."`
	Errors    Errors            `yaml:"errors" doc:"How answers say that something is wrong."`
	Guarded   *Guarded          `yaml:"guarded" doc:"A token against forged requests that writes must carry (CSRF)."`
	Limits    []Limit           `yaml:"limits" doc:"Budgets of calls that the vendor allows an account."`
	AccountBy string            `yaml:"accountBy" doc:"What budgets are shared by, with placeholders: the vendor's tenant. Without it, the base URL and the credentials."`
	Quota     []Quota           `yaml:"quota" doc:"Headers that say what is left; calls are spaced out when little is."`
	Learn     []Learn           `yaml:"learn" doc:"Requests that fill settings in which a person need not know: the id of the site, workspace or company."`
	Discover  *Discover         `yaml:"discover" doc:"A request that says which objects there are, beside those that are described."`
	Objects   map[string]Object `yaml:"objects" doc:"The sets of records, by name." must:"true"`
	Webhook   *Webhook          `yaml:"webhook" doc:"How the vendor tells of changes."`
	Pace      Pace              `yaml:"pace" doc:"How often to look for changes."`
}

// Setting is one thing that a connection needs.
type Setting struct {
	Name     string   `yaml:"name" doc:"As in a document's connection block." must:"true"`
	Title    string   `yaml:"title" doc:"The label in the form."`
	Doc      string   `yaml:"doc" doc:"Where to find it; shown as help and in errors."`
	Kind     string   `yaml:"kind" doc:"The type of the value." enum:"text,integer,boolean,choice"`
	Default  string   `yaml:"default" doc:"Used when it is not given."`
	Choices  []string `yaml:"choices" doc:"The values of a choice."`
	Required bool     `yaml:"required" doc:"It must be given."`
	Secret   bool     `yaml:"secret" doc:"Sealed at rest and never shown again."`
	Pattern  string   `yaml:"pattern" doc:"A regular expression that the whole value must match."`
	Prefix   string   `yaml:"prefix" doc:"What people often enter in front of the value, and what is taken off: https://."`
	Suffix   string   `yaml:"suffix" doc:"What people often enter behind it, and what is taken off: .example.com."`
}

// Region is where a vendor keeps an account.
type Region struct {
	Name   string            `yaml:"name" must:"true" doc:"The value of the setting region: eu."`
	Title  string            `yaml:"title" doc:"The region as people know it; shown in the form."`
	Values map[string]string `yaml:"values" must:"true" doc:"What differs, as placeholders anywhere in the manifest: host is {region.host}. Each region has the same names."`
}

// Auth is one way to prove who is calling.
type Auth struct {
	Kind string `yaml:"kind" doc:"bearer: a token in Authorization. header, query: a key there. basic: name and password. oauth2: an access token, refreshed when it ends. clientCredentials: a token bought with client id and secret. assertion: a token bought with a signed JWT. sigv4: signed requests. oauth1: requests signed with a token that was made beforehand (NetSuite TBA). mtls: a client certificate, which oauth2, clientCredentials, assertion and the others can have beside them. none: nothing." enum:"bearer,header,query,basic,oauth2,clientCredentials,assertion,sigv4,oauth1,mtls,none" must:"true"`
	// Needs are the settings that must be filled in for this way to be taken; by default those that its templates name.
	Needs []string `yaml:"needs" doc:"Settings that must be filled in for this way to be taken."`
	Token string   `yaml:"token" doc:"bearer: the token, usually {settings.accessToken}. oauth1: the token's id."`
	Name  string   `yaml:"name" doc:"header, query: its name."`
	Value string   `yaml:"value" doc:"header, query: its value."`
	User  string   `yaml:"user" doc:"basic: the name."`
	Pass  string   `yaml:"password" doc:"basic: the password."`

	AuthorizeURL   string            `yaml:"authorizeUrl" doc:"oauth2: where a person grants access."`
	TokenURL       string            `yaml:"tokenUrl" doc:"oauth2, clientCredentials, assertion: where tokens are made."`
	ClientID       string            `yaml:"clientId" doc:"oauth2, clientCredentials: usually {settings.clientId}. oauth1: the consumer key."`
	ClientSecret   string            `yaml:"clientSecret" doc:"oauth2, clientCredentials: usually {settings.clientSecret}. oauth1: the consumer secret."`
	RefreshToken   string            `yaml:"refreshToken" doc:"oauth2: usually {settings.refreshToken}."`
	ClientAuth     string            `yaml:"clientAuth" doc:"How the client proves itself when it asks for tokens: body unless said. privateKeyJwt: with a token signed with key. none: by PKCE or by its certificate alone." enum:"body,basic,privateKeyJwt,none"`
	TokenHeader    string            `yaml:"tokenHeader" doc:"oauth2, clientCredentials, assertion: the header that carries the token; Authorization unless said."`
	TokenPrefix    *string           `yaml:"tokenPrefix" doc:"What stands before the token; Bearer and a space in Authorization, nothing elsewhere, unless said."`
	Scopes         []string          `yaml:"scopes" doc:"What is asked for."`
	ScopeSeparator string            `yaml:"scopeSeparator" doc:"Between scopes; a space by default."`
	NoPKCE         bool              `yaml:"noPkce" doc:"The vendor does not know PKCE."`
	AuthorizeQuery map[string]string `yaml:"authorizeParameters" doc:"More parameters of the authorize page."`
	TokenForm      map[string]string `yaml:"tokenParameters" doc:"More parameters of token requests."`
	CodeParameter  string            `yaml:"codeParameter" doc:"The name of the code that comes back, if not code."`
	Returned       map[string]string `yaml:"returned" doc:"Settings that come back with the code: setting name to parameter."`
	Capture        map[string]string `yaml:"capture" doc:"Settings that the token answer fills: setting name to path."`

	Issuer    string            `yaml:"issuer" doc:"assertion: iss."`
	Subject   string            `yaml:"subject" doc:"assertion: sub."`
	Audience  string            `yaml:"audience" doc:"assertion: aud. privateKeyJwt: aud; tokenUrl unless said."`
	Key       string            `yaml:"key" doc:"assertion, privateKeyJwt: the private key in PEM; mtls: the key of the certificate in PEM."`
	KeyID     string            `yaml:"keyId" doc:"assertion, privateKeyJwt: kid."`
	Algorithm string            `yaml:"algorithm" doc:"assertion: how it is signed; the kind of key decides. oauth1: HMAC-SHA256 unless said." enum:"RS256,ES256,HMAC-SHA256,HMAC-SHA1"`
	Claims    map[string]string `yaml:"claims" doc:"assertion: more claims."`

	AccessKey    string `yaml:"accessKey" doc:"sigv4: the access key id."`
	SecretKey    string `yaml:"secretKey" doc:"sigv4: the secret access key."`
	SessionToken string `yaml:"sessionToken" doc:"sigv4: the session token."`
	Region       string `yaml:"region" doc:"sigv4: the region."`
	Service      string `yaml:"service" doc:"sigv4: the service's name."`

	TokenSecret string `yaml:"tokenSecret" doc:"oauth1: the token's secret."`
	Realm       string `yaml:"realm" doc:"oauth1: the realm; NetSuite: the account."`

	Certificate    string `yaml:"certificate" doc:"The client certificate in PEM. With any kind it is shown to every host of the connection, where tokens are made, too."`
	CertificateKey string `yaml:"certificateKey" doc:"The key of the certificate in PEM; mtls takes key where it is not given."`
}

// CallToken is a token that a class of calls carries in place of the connection's own: a restricted one, or one of other scopes.
type CallToken struct {
	Operations []string          `yaml:"operations" doc:"Which calls: list, changes, get, find, create, update, delete, describe, check, job, archived, subscribe, keys. None: all."`
	Objects    []string          `yaml:"objects" doc:"Only calls about these objects of this manifest. None: all."`
	Request    *Request          `yaml:"request" doc:"The request that gives the token, made with the connection's own; it may use {native}."`
	Token      string            `yaml:"token" doc:"request: where the answer has it; access_token unless said."`
	Expires    string            `yaml:"expires" doc:"request: where the answer has its seconds; expires_in unless said."`
	Scopes     []string          `yaml:"scopes" doc:"In place of request: it is bought at the tokenUrl of the way that is in use, with client credentials and these scopes."`
	Parameters map[string]string `yaml:"parameters" doc:"scopes: more parameters of the question."`
}

// Request is one HTTP request, with placeholders.
type Request struct {
	Method     string            `yaml:"method" doc:"GET when there is nothing to send." enum:"GET,POST,PUT,PATCH,DELETE"`
	Path       string            `yaml:"path" doc:"Behind baseUrl, or a whole URL. {key} and other placeholders are escaped." must:"true"`
	Query      map[string]string `yaml:"query" doc:"Parameters; one whose placeholder has no value is left out."`
	Headers    map[string]string `yaml:"headers" doc:"More headers."`
	Body       any               `yaml:"body" doc:"What is sent: any structure, with placeholders in its texts. A list of one map with $each repeats it for each item."`
	Encoding   string            `yaml:"encoding" doc:"How the body is written; json unless said. xml: a map with one name, the root; @name is an attribute. csv: a list of maps. jsonl: a list, a line for each. multipart: a map of parts; one that is a map has content, filename and type." enum:"json,form,xml,csv,jsonl,multipart"`
	Answer     string            `yaml:"answer" doc:"How the answer is read; json unless said. xml: elements become maps, texts and, where a name comes again, lists; attributes are @name. csv: a list of maps by the names of the first line. jsonl: a list, of a line each." enum:"json,xml,csv,jsonl"`
	Bare       bool              `yaml:"bare" doc:"It is made without the connection's credentials and the manifest's headers: for addresses that an answer hands out, which may lead elsewhere."`
	Lists      []string          `yaml:"lists" doc:"answer xml: elements that are lists also when there is only one."`
	Cost       float64           `yaml:"cost" doc:"What it takes of the budgets; 1 unless said."`
	BodyHook   string            `yaml:"bodyHook" doc:"The named code that makes of the body what is sent, where data cannot say it."`
	AnswerHook string            `yaml:"answerHook" doc:"The named code that makes of the answer what is read, where data cannot say it."`
	Once       bool              `yaml:"once" doc:"It must not be repeated unless the system said that it was not carried out: a call that is billed, or one that makes things twice. When its answer is lost the record fails, and a person decides."`
}

// Paging says how a list goes on.
type Paging struct {
	Style     string `yaml:"style" doc:"cursor: a token in the answer, sent back as a placeholder {token}. nextUrl: a whole URL in the answer. nextPath: a path in the answer, joined to rootUrl. link: the Link header. lastId: the last record's key is {token}. offset: {offset} counts records. page: {page} counts pages. none: one answer has all." enum:"cursor,nextUrl,nextPath,link,lastId,offset,page,none" must:"true"`
	Next      string `yaml:"next" doc:"cursor, nextUrl, nextPath: where the answer has it; header:Name for a header."`
	More      string `yaml:"more" doc:"Where the answer has a flag that says whether there is more; without it, having a next place says so."`
	Size      int    `yaml:"size" doc:"The most records in a page; {limit} is at most that."`
	FirstPage int    `yaml:"firstPage" doc:"page: the number of the first page."`
	FirstItem int    `yaml:"firstOffset" doc:"offset: what {offset} is at the beginning: 1 where records are counted from one."`
	Cap       int    `yaml:"cap" doc:"The most records that one query gives; a longer one begins a new window at the last record's time."`
	ShortEnds bool   `yaml:"shortEnds" doc:"A page that is not full is the last; for offset, page and lastId this is so anyway."`
	UntilNone bool   `yaml:"untilEmpty" doc:"offset, page, lastId: pages may be short, and only an empty one is the last."`
	Lasts     string `yaml:"lasts" doc:"How long the vendor keeps the place in a list: 30s. When reading goes on later than that the list begins again."`
}

// List is a request for many records.
type List struct {
	Request Request `yaml:"request" must:"true" doc:"The request of a page."`
	Records string  `yaml:"records" doc:"Where the answer has the list; empty: the answer is the list. A * in a path goes into each item: edges.*.node."`
	Paging  Paging  `yaml:"paging" doc:"How it goes on."`
}

// Object is a set of records.
type Object struct {
	Title    string            `yaml:"title" doc:"The name as people know it."`
	Key      []string          `yaml:"key" doc:"The fields that identify a record." must:"true"`
	Version  string            `yaml:"version" doc:"The field that changes with every change of a record, its modified time."`
	FieldsAt string            `yaml:"fieldsAt" doc:"Where a record keeps its fields; empty: the record itself."`
	Texts    bool              `yaml:"texts" doc:"All values are texts on the wire, whatever their type."`
	Empty    string            `yaml:"empty" doc:"What clears a field: null, an empty text that is also read as null, or omit: it is left out of what replaces the record." enum:"null,text,omit"`
	Fields   []Field           `yaml:"fields" doc:"The fields that are known beforehand; what describe finds is added."`
	Describe *Describe         `yaml:"describe" doc:"A request that says which fields there are."`
	Model    string            `yaml:"model" doc:"The standard record shape: contacts, companies, products, ..."`
	Bindings map[string]any    `yaml:"bindings" doc:"The model's fields: name to this object's field, or to a list of which the first that exists is taken."`
	Identity []string          `yaml:"identity" doc:"Fields that no two records should share; before a record is made, one with these values is looked for."`
	Keyed    string            `yaml:"keyed" doc:"Lists are maps from each record's key to the record: where the record gets that key."`
	AskFor   *AskFor           `yaml:"askFor" doc:"How many of {fields} one request may ask for; the rest is asked for in further ones, and put together by key."`
	Template bool              `yaml:"template" doc:"It is no object itself: discover makes objects like it."`
	Parent   *Parent           `yaml:"parent" doc:"The records are listed for each record of another object, or for each of some values (partitions)."`
	List     *List             `yaml:"list" doc:"All records, for the first reading."`
	Changes  *Changes          `yaml:"changes" doc:"What became different."`
	Deletes  Deletes           `yaml:"deletes" doc:"How deletes are seen." must:"true"`
	Get      *Get              `yaml:"get" doc:"One record by key."`
	GetMany  *Many             `yaml:"getMany" doc:"Several records by key."`
	Find     *Find             `yaml:"find" doc:"Records by the values of fields."`
	Lookup   bool              `yaml:"lookup" doc:"It is only asked about single records, by find: it has no list, and nothing is written. Such an object is a source of enrichment."`
	Create   *Write            `yaml:"create" doc:"Makes a record."`
	Upsert   *Write            `yaml:"upsert" doc:"Makes a record, or changes the one that has the values of by already. It takes the place of create for records that have them."`
	Update   *Write            `yaml:"update" doc:"Changes a record."`
	Delete   *Write            `yaml:"delete" doc:"Deletes a record."`
	Native   string            `yaml:"native" doc:"The object's name in paths, as {native}; its own name unless said."`
	Names    map[string]string `yaml:"names" doc:"More placeholders: {names.x}."`
}

// Field is one field of an object.
type Field struct {
	Name       string            `yaml:"name" must:"true" doc:"Its name for documents."`
	Path       string            `yaml:"path" doc:"Where the record has it; its name unless said. Dots go inside."`
	Type       string            `yaml:"type" doc:"The type of its values." enum:"text,integer,number,float,boolean,timestamp,datetime,date,time,bytes,json,array,uuid"`
	Codec      string            `yaml:"codec" doc:"How it is written on the wire, where not as usual. epoch, epochMillis: seconds or milliseconds since 1970. msDate: /Date(1700000000000)/. serialDate: days since 1899-12-30, as in spreadsheets. offsetTime: an offset without colon. numberText: a number in quotes. cents: money in its smallest unit. document: rich text as a tree of nodes (Atlassian Document Format), read and written as plain text." enum:"epoch,epochMillis,msDate,serialDate,offsetTime,numberText,cents,document"`
	Format     string            `yaml:"format" doc:"How a time is written, where no codec says: dd.MM.yyyy HH:mm. Of yyyy, yy, MM, dd, HH, hh, mm, ss, SSS, a, Z (+0100), XXX (+01:00); other letters stand in single quotes."`
	Zone       string            `yaml:"zone" doc:"The time zone of times that say none: Europe/Berlin or {settings.timeZone}; UTC unless said."`
	TimeAt     string            `yaml:"timeAt" doc:"The time of day stands apart from the date, at this path: 14:30:00, 143000 or PT14H30M."`
	Clear      string            `yaml:"clear" doc:"What is sent to clear the field, where empty does not say."`
	Required   bool              `yaml:"required" doc:"It may not be null."`
	ReadOnly   bool              `yaml:"readOnly" doc:"It cannot be written."`
	CreateOnly bool              `yaml:"createOnly" doc:"It can be given only when the record is made."`
	Generated  bool              `yaml:"generated" doc:"The system makes a value."`
	MaxLength  int               `yaml:"maxLength" doc:"The most characters."`
	Scale      int               `yaml:"scale" doc:"Digits behind the point."`
	Enum       []string          `yaml:"enum" doc:"The only texts allowed."`
	Split      string            `yaml:"split" doc:"It is a full name taken apart: the path of the whole. Its value is {first, last}, and both are written together."`
	Values     map[string]string `yaml:"values" doc:"Read through a table: what the wire has to what it means; * is everything else. It is read-only."`
	Hidden     bool              `yaml:"hidden" doc:"Read for the manifest's own purposes, not offered to documents."`
	Outside    bool              `yaml:"outside" doc:"It is beside the record's fields, not where fieldsAt says."`
}

// Describe discovers fields.
type Describe struct {
	Request   Request           `yaml:"request" doc:"The request. Objects that discover found leave it out when its answer has their fields."`
	List      string            `yaml:"list" doc:"Where the answer has the list of fields, with placeholders. [name=value] takes the one of a list that has the value there, so that this reads OData's $metadata, with answer: xml and lists: [Schema, EntityType, Property]: Edmx.DataServices.Schema.*.EntityType.[@Name={native}].Property"`
	Name      string            `yaml:"name" doc:"Where a field has its name."`
	Sample    int               `yaml:"sample" doc:"Nothing says which fields there are: they are learnt from so many records of the list. Others can be read all the same."`
	Type      string            `yaml:"type" doc:"Where a field has its type."`
	Types     map[string]string `yaml:"types" doc:"The vendor's types to ours; * is everything else, and skip leaves fields out."`
	Codecs    map[string]string `yaml:"codecs" doc:"The vendor's types to codecs."`
	ReadOnly  string            `yaml:"readOnly" doc:"Where a field says that it cannot be written; a leading ! turns it round, and path=value says what it has there instead of true."`
	Required  string            `yaml:"required" doc:"Where a field says that it may not be null; in the same form."`
	MaxLength string            `yaml:"maxLength" doc:"Where a field has its length."`
	Scale     string            `yaml:"scale" doc:"Where a field has its digits behind the point."`
	Skip      string            `yaml:"skip" doc:"Where a field says that it is not to be used."`
}

// Changes says how changes are read.
type Changes struct {
	Style    string  `yaml:"style" must:"true" doc:"since: a query for records changed since {since}, page by page. keyset: the same without pages, each query going on behind {since} and {after}. feed: a feed whose place is a token. queue: messages that are taken away once they are read. full: everything is read and compared." enum:"since,keyset,feed,queue,full"`
	Request  Request `yaml:"request" doc:"since, keyset: the query. feed: the first request, at {since}. queue: the request that gets messages; full uses list."`
	Next     Request `yaml:"next" doc:"feed: the request that goes on at {token}."`
	Records  string  `yaml:"records" doc:"Where the answer has the list."`
	Paging   Paging  `yaml:"paging" doc:"since: how the query goes on. feed: next is where the token is, more where the end flag is; of style nextUrl or nextPath when the token is an address."`
	Time     string  `yaml:"time" doc:"How {since} is written." enum:"rfc3339,millis,epoch,epochMillis,date"`
	Format   string  `yaml:"format" doc:"Another way to write {since} and {until}, in the form of a field's format: yyyy-MM-dd HH:mm."`
	Zone     string  `yaml:"zone" doc:"format: the time zone, Europe/Berlin or {settings.timeZone}; UTC unless said."`
	Lag      string  `yaml:"lag" doc:"since, keyset: how far behind now the place stays, for systems that show changes late or refuse a later {until}: 2m. What is newer is read again until then."`
	Keeps    string  `yaml:"keeps" doc:"How long the vendor keeps what changed: 720h. After a longer pause everything is read once more."`
	Overlap  string  `yaml:"overlap" doc:"How far each new look goes back, for what became visible late: 5s."`
	Ties     *List   `yaml:"ties" doc:"since with a cap: the records of exactly {since} with a key above {after}, by key, for when one moment has more than the cap."`
	Snapshot bool    `yaml:"snapshot" doc:"The first reading is the changes since the beginning, and not list."`
	FirstKey string  `yaml:"firstKey" doc:"keyset: what {after} is at the beginning."`
	EndFlag  string  `yaml:"endFlag" doc:"feed: where the answer says that this was the end."`
	Final    string  `yaml:"final" doc:"feed: where the last page has the token for the next look, when that is another than those of pages."`
	Whole    bool    `yaml:"whole" doc:"feed: its pages count only together. An answer of class restart, or a pause longer than paging.lasts, begins again at the first, and what was read in vain is compared by key."`
	Ack      *Ack    `yaml:"ack" doc:"queue: how messages are taken away, once what they say is kept."`
	Ids      *Ids    `yaml:"ids" doc:"The list has only what was changed, not the records: they are read by key, many at once where getMany is given."`
}

// Ids are the entries of a list that names records without having them.
type Ids struct {
	Key     string     `yaml:"key" doc:"Where an entry has the record's key, or several: targets.*.id; empty: the entry is the key."`
	At      string     `yaml:"at" doc:"Where an entry has the time of the change; without it, the time of the answer counts."`
	Only    *Predicate `yaml:"only" doc:"What an entry about such a record looks like, where the list has others, too."`
	Deleted *Predicate `yaml:"deleted" doc:"What an entry of a deleted record looks like. One that cannot be read any more counts as deleted, too."`
}

// Parent says that an object's records are listed for each record of another, or for each of some values.
type Parent struct {
	Object  string            `yaml:"object" doc:"The other object, whose list is read. {parent} is the key of one, {part.<field>} a field of a key of several. It may have a parent itself."`
	Values  []string          `yaml:"values" doc:"Instead of object: partitions, with placeholders. A text with commas or lines is several: [\"{settings.marketplaces}\"]. {parent} is one."`
	Field   string            `yaml:"field" doc:"The field that gets the parent's key, or the value, where records do not have it themselves. In the requests for one record it is {part.<field>} when it is part of the key."`
	Fields  map[string]string `yaml:"fields" doc:"Instead of field, when the parent's key has several: this object's fields to those of the parent's key."`
	Changed bool              `yaml:"changed" doc:"A change of a record changes its parent, too: for changes only parents that changed themselves are gone through."`
}

// AskFor bounds the fields of one request.
type AskFor struct {
	Fields int `yaml:"fields" doc:"The most fields of one request."`
	URL    int `yaml:"url" doc:"The most characters of its address: 8000."`
}

// Ack takes messages of a queue away.
type Ack struct {
	Request Request `yaml:"request" must:"true" doc:"The request, with {token}, the message's handle. It is made when what the message says is kept."`
	From    string  `yaml:"from" doc:"Where the answer has the handle of the message, or of all of them; header:Name for a header."`
	Each    string  `yaml:"each" doc:"Where each entry has its handle."`
}

// Discover finds objects after a connection was made.
type Discover struct {
	Request Request `yaml:"request" must:"true" doc:"The request."`
	List    string  `yaml:"list" doc:"Where the answer has the list of objects, in the form of describe."`
	Paging  Paging  `yaml:"paging" doc:"How it goes on; one answer has all unless said."`
	Name    string  `yaml:"name" must:"true" doc:"Where one has its name for documents."`
	Native  string  `yaml:"native" doc:"Where one has its name for paths, {native}; its name unless said."`
	Title   string  `yaml:"title" doc:"Where one has its name for people."`
	Skip    string  `yaml:"skip" doc:"Where one says that it is not to be used; a leading ! turns it round."`
	Like    string  `yaml:"like" must:"true" doc:"The object with template: true that it is like."`
}

// Learn is a request that fills settings in.
type Learn struct {
	Request  Request           `yaml:"request" must:"true" doc:"The request, made when one of the settings is empty."`
	List     string            `yaml:"list" doc:"Where the answer has a list of which one is taken; without it, the answer itself."`
	Where    *Predicate        `yaml:"where" doc:"Which one of the list; without it the first. equals may have placeholders."`
	Settings map[string]string `yaml:"settings" must:"true" doc:"Setting to where it stands."`
	Optional bool              `yaml:"optional" doc:"The connection works without them, so it does not matter when the request fails."`
}

// Guarded is a token that the vendor wants with each write, and hands out beforehand.
type Guarded struct {
	Request Request `yaml:"request" must:"true" doc:"The request that gets it. Its cookies are sent with the token."`
	From    string  `yaml:"from" doc:"The header of the answer that has it."`
	Path    string  `yaml:"path" doc:"Where the answer has it, when no header does."`
	Header  string  `yaml:"header" must:"true" doc:"The header in which it is sent: X-CSRF-Token."`
	Ended   string  `yaml:"ended" doc:"What that header of an answer of 403 says when the token has ended; Required unless said."`
}

// Deletes says how deletes are seen.
type Deletes struct {
	Mode     string     `yaml:"mode" must:"true" doc:"tombstone: changes have deleted records with a mark. archived: a list of the deleted. diff: what is missing from the list, which is read for that now and then, or each time with changes of style full. webhook: only the vendor's message tells. never: they are not seen." enum:"tombstone,archived,diff,webhook,never"`
	When     *Predicate `yaml:"when" doc:"tombstone: what marks a deleted record, in any answer."`
	Archived *List      `yaml:"archived" doc:"archived: the list of the deleted."`
	At       string     `yaml:"at" doc:"archived: where a record has the time of its deletion."`
	Every    string     `yaml:"every" doc:"archived, diff: how often to look; 60s unless said, for diff 1h."`
}

// Predicate is a condition on an answer or record.
type Predicate struct {
	Path   string   `yaml:"path" must:"true" doc:"What is looked at."`
	Equals string   `yaml:"equals" doc:"It has this value, as text."`
	In     []string `yaml:"in" doc:"It has one of these values."`
	Exists *bool    `yaml:"exists" doc:"It is there and not null, or is not."`
}

// Get reads one record.
type Get struct {
	Request Request `yaml:"request" must:"true" doc:"The request, with {key}."`
	Record  string  `yaml:"record" doc:"Where the answer has it; empty: the answer is the record."`
}

// Many reads several records.
type Many struct {
	Request Request `yaml:"request" must:"true" doc:"The request, with {keys}."`
	Records string  `yaml:"records" doc:"Where the answer has the list."`
	Size    int     `yaml:"size" must:"true" doc:"How many keys at most."`
}

// Find reads records by values.
type Find struct {
	Request Request  `yaml:"request" must:"true" doc:"The request: with one, {field} and {value}; with many, {field} and {values}."`
	Records string   `yaml:"records" doc:"Where the answer has the list."`
	Record  string   `yaml:"record" doc:"For an answer with one record: where it has that; a dot: the answer is the record. That there is none is told by an error of class gone."`
	Fields  []string `yaml:"fields" doc:"The fields that can be searched by; others are compared afterwards."`
	One     bool     `yaml:"one" doc:"A query takes one field only, {field} and {value}; the others are compared afterwards."`
	Many    int      `yaml:"many" doc:"A query takes so many values of one field at most, {field} and {values}, which a body may repeat with $each: values and {item}; the other fields are compared afterwards."`
}

// Write is how records are made, changed or deleted.
type Write struct {
	Request     Request  `yaml:"request" must:"true" doc:"For one record: {key}, {fields} (those to set), {record} (the whole record, merged)."`
	Semantics   string   `yaml:"semantics" doc:"partial: fields that are not sent stay. replace: the record is read, merged and sent whole." enum:"partial,replace"`
	Key         string   `yaml:"key" doc:"Where the answer to a creation has the new key; header:Location for a header. Without it the record is looked for by identity, or by."`
	KeyMatch    string   `yaml:"keyMatch" doc:"A regular expression whose group is the key, in what key names. Without it the last part of an address is the key."`
	By          []string `yaml:"by" doc:"upsert: the fields by which the vendor knows a record: {by.<field>} are their values, {rest} are the other fields."`
	Before      []Step   `yaml:"before" doc:"Requests that are made first, one after the other: to deactivate what can be deleted only then, to unlock, to archive."`
	Means       string   `yaml:"means" doc:"delete: what it does over there; it is shown. hard: it is gone. trash: it can be restored there. archive, deactivate: it stays, marked." enum:"hard,trash,archive,deactivate"`
	Record      string   `yaml:"record" doc:"Where the answer has the record as it is now; a dot: the answer is the record."`
	Lock        *Lock    `yaml:"lock" doc:"How a write is refused when the record moved on."`
	Exists      string   `yaml:"exists" doc:"A regular expression on the message of a conflict; its group is the key of the record that is there already."`
	Also        []Also   `yaml:"also" doc:"Fields that another request changes."`
	Idempotency string   `yaml:"idempotencyHeader" doc:"The header that makes a repeated write harmless. Elsewhere in the request, or in an item of a batch, it is {once}: the same when the same write is tried again, and another for the next."`
	Batch       *Batch   `yaml:"batch" doc:"Several in one request."`
	Job         *Job     `yaml:"job" doc:"The answer to one record is a job to wait for, where it has its id or the status is 202; what is read of the answer is read of the last one of poll."`
}

// Also is a field that another request changes.
type Also struct {
	Field   string            `yaml:"field" must:"true" doc:"The field; it is left out of the main request."`
	Request Request           `yaml:"request" must:"true" doc:"The request, with {key} and {value}; it is made first, for a creation last."`
	Values  map[string]string `yaml:"values" doc:"What {value} is for each value of the field, where the request says it in other words: the id of a transition, the name of a verb. Another value is refused."`
}

// Step is a request that is made before a write.
type Step struct {
	Request Request    `yaml:"request" must:"true" doc:"The request, with what the write's has."`
	Unless  *Predicate `yaml:"unless" doc:"The record, as it was read, is so already: then it is left out."`
}

// Lock is an optimistic lock.
type Lock struct {
	Header string `yaml:"header" doc:"The header that carries it; without it a place in the query or body has {lock}."`
	Value  string `yaml:"value" doc:"Its value: usually {version}, or {lock}."`
	From   string `yaml:"from" doc:"Where {lock} is read: a place in the record, or header:ETag of the answer to get."`
}

// Batch writes several records in one request.
type Batch struct {
	Request   Request    `yaml:"request" must:"true" doc:"The request; in its body, $each: items repeats for each record."`
	Size      int        `yaml:"size" must:"true" doc:"How many at most."`
	Min       int        `yaml:"min" doc:"Fewer than that go one by one."`
	Job       *Job       `yaml:"job" doc:"The answer is a job to wait for."`
	Results   string     `yaml:"results" doc:"Where the answer has a result for each record; empty: the answer is the list."`
	By        string     `yaml:"by" doc:"How results belong to records. fields: a result repeats what was sent." enum:"order,index,key,trace,fields"`
	Match     string     `yaml:"match" doc:"by index, key or trace: where a result has it."`
	Ok        *Predicate `yaml:"ok" doc:"What a result that succeeded looks like; without it, being in results is success."`
	Key       string     `yaml:"key" doc:"Where a result has the record's key."`
	Record    string     `yaml:"record" doc:"Where a result has the record as it is now; a dot: the result is the record."`
	Code      string     `yaml:"code" doc:"Where a failed result has its code."`
	Message   string     `yaml:"message" doc:"Where a failed result has its message."`
	Errors    string     `yaml:"errors" doc:"Where the answer lists failures apart from results."`
	ErrorKeys string     `yaml:"errorKeys" doc:"errors: where a failure has the keys or traces of the records it is about."`
	NoResults bool       `yaml:"noResults" doc:"Success has no results: all succeeded."`
}

// Job is asynchronous work of the vendor.
type Job struct {
	ID       string            `yaml:"id" doc:"Where the first answer has its id, {job}; header:Location for a header. Or a step takes it under the name job."`
	Take     map[string]string `yaml:"take" doc:"More of the first answer, name to place: {taken.<name>}."`
	Steps    []JobStep         `yaml:"steps" doc:"Requests that follow the first: an upload, and what says that it is complete. With {items} of the batch."`
	Poll     Request           `yaml:"poll" must:"true" doc:"The request that asks, with {job}."`
	TakeDone map[string]string `yaml:"takeDone" doc:"What the answer of a job that is done has for the requests of its parts, name to place: {taken.<name>}."`
	Parts    []JobPart         `yaml:"parts" doc:"Requests that get the results, part by part; without them the last answer of poll has them."`
	State    string            `yaml:"state" must:"true" doc:"Where the answer has the state."`
	Done     []string          `yaml:"done" must:"true" doc:"States of a job that is done."`
	Failed   []string          `yaml:"failed" doc:"States of one that failed."`
	Every    string            `yaml:"every" doc:"How often to ask; 1s unless said."`
}

// JobStep is a request between the first of a job and asking how it stands.
type JobStep struct {
	Request Request           `yaml:"request" must:"true" doc:"The request, with {job}, {taken.<name>} and the items of the batch."`
	Take    map[string]string `yaml:"take" doc:"Of its answer, name to place: {taken.<name>}; the name job makes it {job}."`
}

// JobPart is a part of a job's results.
type JobPart struct {
	Request Request `yaml:"request" must:"true" doc:"The request, with {job} and {taken.<name>}."`
	Records string  `yaml:"records" doc:"Where the answer has the list."`
	Paging  Paging  `yaml:"paging" doc:"How it goes on; one answer has all unless said."`
	Are     string  `yaml:"are" doc:"What all results of the part are; without it the batch's ok says. undone: they were not carried out." enum:"done,failed,undone"`
}

// Errors says how an answer tells what is wrong.
type Errors struct {
	Message []string    `yaml:"message" doc:"Where an answer has its message; the first that is there."`
	Code    []string    `yaml:"code" doc:"Where an answer has its code."`
	Field   []string    `yaml:"field" doc:"Where an answer names the field that is wrong; it is added to the message."`
	Trace   []string    `yaml:"requestId" doc:"Where an answer has the vendor's id of the request, header:Name for a header; people who ask the vendor need it, so it is added to the message."`
	Rules   []ErrorRule `yaml:"rules" doc:"What is what; the first that fits. Without one the status decides."`
}

// ErrorRule classifies an answer.
type ErrorRule struct {
	Operations []string   `yaml:"operations" doc:"Only for these calls, as in limits; none: for all."`
	Status     []int      `yaml:"status" doc:"One of these status codes; none: any."`
	Code       []string   `yaml:"code" doc:"One of these codes; none: any."`
	When       *Predicate `yaml:"when" doc:"A condition on the body."`
	Match      string     `yaml:"match" doc:"A regular expression on the message."`
	Body       string     `yaml:"text" doc:"A regular expression on the answer's text, also where that is a page and not as the request's answer says."`
	Class      string     `yaml:"class" must:"true" doc:"What it means. ok: it is none. renew: the credentials ended, get new ones. exists: there is such a record already. restart: the pages read so far do not count, the list begins again." enum:"ok,retry,slow_down,renew,reconnect,refused,conflict,exists,gone,drift,lost_place,restart"`
	After      string     `yaml:"after" doc:"slow_down: how long to wait when the answer does not say: 30s. Without it and without Retry-After each wait is twice as long as the one before."`
	AfterFrom  string     `yaml:"afterFrom" doc:"slow_down: where the answer says how long, a place in the body or header:Name: seconds, a Unix time, a date, or a length like 1m30s."`
	AfterMatch string     `yaml:"afterMatch" doc:"slow_down: a regular expression whose group is how long, on what afterFrom names, else on the answer's text."`
	AfterUnit  string     `yaml:"afterUnit" doc:"What a bare number of afterFrom and afterMatch counts; s unless said." enum:"s,ms"`
	Remedy     string     `yaml:"remedy" doc:"What a person can do, added to the message."`
}

// Limit is a budget.
type Limit struct {
	Operations []string `yaml:"operations" doc:"Which calls: list, changes, get, find, create, update, delete, upsert, describe, check, job, archived, subscribe, keys. None: all together."`
	Calls      float64  `yaml:"calls" doc:"How many calls; with per. It or atOnce is given, or both."`
	Per        string   `yaml:"per" doc:"In which time: 10s, 1m."`
	Burst      float64  `yaml:"burst" doc:"How many in one moment; as many as calls unless said."`
	Records    bool     `yaml:"records" doc:"It counts the records that calls write or read by key, and not the calls."`
	AtOnce     int      `yaml:"atOnce" doc:"How many calls may be under way at any time."`
	By         string   `yaml:"by" doc:"What has a budget of its own within the account, with placeholders of the request: {native} for each object, {parent} for each parent or partition."`
}

// Quota reads what is left.
type Quota struct {
	Header    string  `yaml:"header" doc:"The header with both figures."`
	Pattern   string  `yaml:"pattern" doc:"A regular expression with the groups used or remaining, and of."`
	Remaining string  `yaml:"remaining" doc:"The header with what is left."`
	Of        string  `yaml:"of" doc:"The header with the whole."`
	Resets    string  `yaml:"resets" doc:"The header that says when it is whole again: seconds from now, a Unix time or a date."`
	Reserve   float64 `yaml:"reserve" doc:"Below this part calls are spaced out; 0.1 unless said."`
	Body      bool    `yaml:"body" doc:"remaining, of and resets are not headers but places in the answer."`
}

// Pace says how often to look.
type Pace struct {
	Min string `yaml:"min" doc:"At most so often: 1s."`
	Max string `yaml:"max" doc:"At least so often: 1m."`
}

// Webhook says how the vendor tells of changes. What it says is a hint: the records it names are read.
type Webhook struct {
	Verify    []Verify          `yaml:"verify" must:"true" doc:"How a message proves where it comes from; one of them must hold."`
	Subscribe *Subscribe        `yaml:"subscribe" doc:"How the vendor is asked to send changes here. Without it a person enters the connection's address over there."`
	Handshake *Handshake        `yaml:"handshake" doc:"How the vendor tries the address."`
	Format    string            `yaml:"format" doc:"How messages are written; json unless said." enum:"json,xml"`
	Lists     []string          `yaml:"lists" doc:"format xml: elements that are lists also when there is only one."`
	Reply     *Reply            `yaml:"reply" doc:"How a message is answered, if not with 200 and nothing."`
	Bodies    []Body            `yaml:"bodies" doc:"Other shapes that messages have, while a vendor goes from one to another; the first whose when holds is read, else the one that is described here."`
	Sweep     string            `yaml:"sweep" doc:"How often to look although nothing was told, where messages do not tell of everything: 10s. Without it, now and then."`
	Account   string            `yaml:"account" doc:"Where an event, or else the message, names the account. Events of another account than accountIs are left out."`
	AccountIs string            `yaml:"accountIs" doc:"The account of this connection: {settings.realmId}."`
	Unwrap    string            `yaml:"unwrap" doc:"Where a carrier's message has the vendor's own, as a text in base64 or as it is: message.data of Google Cloud Pub/Sub. It is read in place of the message; a carrier's word that has none there is answered and left at that."`
	Events    string            `yaml:"events" doc:"Where the body has the list of events; empty: the body is the list, or one event."`
	Type      string            `yaml:"type" doc:"Where an event has its type."`
	Key       string            `yaml:"key" doc:"Where an event has the record's key."`
	ID        string            `yaml:"id" doc:"Where an event has its own id, by which repeats are known."`
	Object    string            `yaml:"object" doc:"Where an event has the object, when the type does not tell."`
	Objects   map[string]string `yaml:"objects" doc:"Types, or their beginnings, to objects of this manifest."`
}

// Body is one more shape of a message. What is left out of type, key, id, object and objects is as the webhook says.
type Body struct {
	When    Predicate         `yaml:"when" must:"true" doc:"It holds for messages of this shape; the path begins at the message."`
	Events  string            `yaml:"events" doc:"Where the body has the list of events; empty: the body is the list, or one event."`
	Type    string            `yaml:"type" doc:"Where an event has its type."`
	Key     string            `yaml:"key" doc:"Where an event has the record's key."`
	ID      string            `yaml:"id" doc:"Where an event has its own id."`
	Object  string            `yaml:"object" doc:"Where an event has the object, when the type does not tell."`
	Objects map[string]string `yaml:"objects" doc:"Types, or their beginnings, to objects of this manifest."`
}

// Reply is how a message is answered.
type Reply struct {
	Status int    `yaml:"status" doc:"The status; 200 unless said, and not outside 200 to 299."`
	Type   string `yaml:"type" doc:"The media type of the body: text/xml."`
	Body   string `yaml:"body" doc:"The body, as it is."`
}

// Subscribe is how the vendor is asked to send changes to the connection's address.
type Subscribe struct {
	Create    Request  `yaml:"create" must:"true" doc:"The request, with {callback}, the address; {secret}, a secret made for it; {expires}, when it shall end."`
	PerObject bool     `yaml:"perObject" doc:"One subscription for each object, which is {native}; else one for all."`
	ID        string   `yaml:"id" must:"true" doc:"Where the answer has the subscription's id."`
	Secret    string   `yaml:"secret" doc:"Where the answer has the secret that the vendor signs with, if it makes one itself."`
	Reveal    *Get     `yaml:"reveal" doc:"The request that says the secret, with {subscription}, the id; record is where the answer has it."`
	Lasts     string   `yaml:"lasts" doc:"How long a subscription lasts: 168h. It is renewed when two thirds are over. Without it, for ever."`
	Renew     *Request `yaml:"renew" doc:"The request that lengthens one, with {subscription} and {expires}. Without it a new one takes its place."`
	Delete    *Request `yaml:"delete" doc:"The request that ends one, with {subscription}."`
}

// Verify is a recipe for a signature.
type Verify struct {
	Kind      string `yaml:"kind" must:"true" doc:"hmac: a signature over the message. secret: a shared secret in a header or parameter. ecdsa: a signature with a key of which we have the public half. jwt: a signed token, which may hold a hash of the body. sns: a message of Amazon SNS, which also confirms the subscription." enum:"hmac,secret,ecdsa,jwt,sns"`
	Header    string `yaml:"header" doc:"The header that carries it."`
	Query     string `yaml:"query" doc:"The parameter that carries it."`
	Body      string `yaml:"body" doc:"secret: where the message carries it; with * in the path, each of them must be it."`
	Secret    string `yaml:"secret" doc:"The secret: usually {settings.webhookSecret}; several stand one a line. That of a subscription counts beside it. ecdsa, jwt: the public key in PEM or as a JWK; for jwt a secret, too."`
	Key       string `yaml:"key" doc:"How the secret becomes a key; text is as it is. base64 is decoded, after whsec_ where it begins so." enum:"text,base64,hex"`
	Algorithm string `yaml:"algorithm" doc:"hmac, and the digest of ecdsa: sha256 unless said." enum:"sha256,sha1,sha512"`
	Wrapped   bool   `yaml:"wrapped" doc:"The header is JSON in base64, in which field has the signature."`
	KeyID     string `yaml:"keyId" doc:"The header with the id of the key; wrapped: its name in the JSON. jwt: the token names it itself, as kid."`
	Keys      *Keys  `yaml:"keys" doc:"ecdsa, jwt: the public key is fetched by its id, in place of secret."`
	Encoding  string `yaml:"encoding" doc:"base64 unless said." enum:"base64,hex"`
	Prefix    string `yaml:"prefix" doc:"In front of the signature: sha256=."`
	Field     string `yaml:"field" doc:"The signature is one of several parts, name=value: v1."`
	Separator string `yaml:"separator" doc:"field: what stands between parts; a comma unless said."`
	Assign    string `yaml:"assign" doc:"field: what stands between name and value; = unless said."`
	Message   string `yaml:"message" doc:"What is signed, of {method}, {url}, {id}, {timestamp}, {body}; {body} unless said."`
	ID        string `yaml:"idHeader" doc:"The header with the message's id."`
	Timestamp string `yaml:"timestampHeader" doc:"The header with the time; t of parts when field is given."`
	Tolerance string `yaml:"tolerance" doc:"How old a message may be: 5m. jwt: by its iat."`
	Topic     string `yaml:"topic" doc:"sns: the ARN of the topic, {settings.topicArn}; Amazon signs for all topics with the same keys. tolerance is 1h unless said."`
	BodyHash  string `yaml:"bodyHash" doc:"jwt: the claim with the SHA-256 of the body, in hexadecimal."`

	Claims map[string]string `yaml:"claims" doc:"jwt: claims that must have these values, with placeholders; an empty value fits nothing. Needed where one key signs for everybody: the account of Google Cloud that pushes."`
}

// Keys is how a key is fetched by which messages can be verified. Keys are kept in mind; ids that the vendor does not know, too.
type Keys struct {
	Request Request `yaml:"request" must:"true" doc:"The request, with {kid}, the id; made with the connection's proof as the operation keys, through the guard against private addresses."`
	At      string  `yaml:"at" doc:"Where the answer has the key: PEM, base64 or a JWK. A list of JWKs is one in which kid is looked for. Empty: the answer."`
	Ended   string  `yaml:"ended" doc:"Where the answer says since when the key is not used any more; null while it is."`
	Lasts   string  `yaml:"lasts" doc:"How long a key is kept in mind; 24h unless said."`
}

// Handshake is how the vendor tries the address.
type Handshake struct {
	Kind   string `yaml:"kind" must:"true" doc:"echoHeader: answer with the same header. echoQuery: answer with the parameter as text. echoField: answer with the field of the body. hashChallenge: answer with a hash of challenge, secret and address. probe: answer a GET or HEAD without a message." enum:"echoHeader,echoQuery,echoField,hashChallenge,probe"`
	Name   string `yaml:"name" doc:"The header, parameter or field; all but probe need it."`
	Secret string `yaml:"secret" doc:"hashChallenge: the secret."`
	Answer string `yaml:"answer" doc:"echoHeader, echoQuery, echoField: answer with JSON that has what came under this name."`
	Status int    `yaml:"status" doc:"The status of the answer; 200 unless said, and not outside 200 to 299."`
	Learn  bool   `yaml:"learn" doc:"What came is the secret that the vendor will sign with. It counts only while a subscription is being made."`
}
