//! Logged decisions: a table of context, action, propensity and reward, and perhaps what a model
//! predicts each action to earn.

use super::error::Error;
use super::example::id;
use super::input::Position;
use super::map::FeatureMap;
use super::table::{Dialect, Table, shown};
use crate::hash;
use crate::prediction::Feature;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Most different actions. A log of more is one of items, whose propensities nobody can log well.
pub const ACTIONS_MAX: usize = 4_096;
/// Most bytes of an action's name, so that all of them fit in a megabyte.
const NAME_BYTES_MAX: usize = 256;

/// Where a log's columns are.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The action that was taken, a name.
    pub action: String,
    /// With which probability, in (0, 1].
    pub propensity: String,
    /// What it earned, any number.
    pub reward: String,
    /// Before an action's name: what a model predicts this action to earn.
    pub predicted: String,
    /// Those of the context; where none is named, all other columns.
    pub context: Vec<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            action: "action".to_owned(),
            propensity: "propensity".to_owned(),
            reward: "reward".to_owned(),
            predicted: "predicted.".to_owned(),
            context: Vec::new(),
        }
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Which of [`Actions`].
    pub action: usize,
    /// With which probability.
    pub propensity: f64,
    /// What it earned.
    pub reward: f64,
}

/// The actions of a log, in the order of their names: the same whatever the order of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions(BTreeMap<Vec<u8>, usize>);

impl Actions {
    /// Of these names.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is none, or more than [`ACTIONS_MAX`].
    fn of(file: &str, names: impl Iterator<Item = Vec<u8>>) -> Result<Self, Error> {
        let mut map: BTreeMap<_, _> = names.map(|name| (name, 0)).collect();
        for (index, place) in map.values_mut().enumerate() {
            *place = index;
        }
        match map.len() {
            0 => Err(Error::shape(file, "no action was logged")),
            1..=ACTIONS_MAX => Ok(Self(map)),
            count => Err(Error::shape(file, format!("{count} actions, more than {ACTIONS_MAX}"))),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where this one stands.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.0.get(name).copied()
    }

    /// Their names in order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.keys().map(|name| String::from_utf8_lossy(name).into_owned())
    }
}

/// What a first pass over a log finds.
#[derive(Clone, Debug)]
pub struct Survey {
    /// All actions: those that the log predicts rewards of, else those that were taken.
    pub actions: Actions,
    /// Rows that can be read.
    pub rows: u64,
    /// The smallest and the largest reward.
    pub rewards: (f64, f64),
    /// Whether a predicted reward of each action is in the log.
    pub is_predicted: bool,
}

/// An open log and its present decision.
pub struct BanditLog {
    table: Table,
    action: usize,
    propensity: usize,
    reward: usize,
    /// Where each action's predicted reward is; empty without.
    predicted: Vec<usize>,
    predictions: Vec<f64>,
    /// The columns of the context, and the hashes of their names.
    context: Vec<(usize, u64)>,
    names: Columns,
}

impl BanditLog {
    /// Opens a log.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Shape`] where a column is missing.
    pub fn open(path: &Path, dialect: Dialect, names: &Columns) -> Result<Self, Error> {
        let table = Table::open(path, dialect)?;
        let (action, propensity) = (table.column(&names.action)?, table.column(&names.propensity)?);
        let reward = table.column(&names.reward)?;
        // In the order of the actions, which is that of the names' bytes.
        let predicted: BTreeMap<&str, usize> = predicted(&table, names).collect();
        let predicted = predicted.into_values().collect::<Vec<_>>();
        let predictions = vec![0.0; predicted.len()];
        let context = context(&table, names)?;
        let names = names.clone();
        Ok(Self { table, action, propensity, reward, predicted, predictions, context, names })
    }

    /// Reads a whole log once. Lines that cannot be used go through `tolerate`, which says whether to
    /// go on.
    ///
    /// # Errors
    /// What `tolerate` returns, or [`Error::Shape`] where the log has no actions or too many.
    pub fn survey(
        mut self,
        mut tolerate: impl FnMut(Result<(), Error>) -> Result<Option<()>, Error>,
    ) -> Result<Survey, Error> {
        let file = self.table.name().to_owned();
        let mut taken = BTreeSet::new();
        let (mut rows, mut rewards) = (0, (f64::INFINITY, f64::NEG_INFINITY));
        let named = predicted(&self.table, &self.names).map(|(name, _)| name.as_bytes().to_vec());
        let declared = named.collect::<Vec<_>>();
        while let Some(read) = self.advance_unchecked() {
            let read = read.map(|decision| {
                rows += 1;
                rewards = (rewards.0.min(decision.reward), rewards.1.max(decision.reward));
                if declared.is_empty() && taken.len() <= ACTIONS_MAX {
                    taken.insert(self.table.cell(self.action).to_vec());
                }
            });
            tolerate(read)?;
        }
        let is_predicted = !declared.is_empty();
        let names = if is_predicted { declared } else { taken.into_iter().collect() };
        Ok(Survey { actions: Actions::of(&file, names.into_iter())?, rows, rewards, is_predicted })
    }

    /// Moves to the next decision; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Line`] says what is wrong with a row; the log can be read on after it.
    pub fn advance(&mut self, actions: &Actions) -> Option<Result<Decision, Error>> {
        let decision = match self.advance_unchecked()? {
            Ok(decision) => decision,
            Err(error) => return Some(Err(error)),
        };
        let name = self.table.cell(self.action);
        Some(match actions.find(name) {
            Some(action) => Ok(Decision { action, ..decision }),
            None => {
                let name = String::from_utf8_lossy(name);
                Err(self.table.wrong(format!("action `{}` has no predicted reward", shown(&name))))
            }
        })
    }

    fn advance_unchecked(&mut self) -> Option<Result<Decision, Error>> {
        Some(self.table.advance()?.and_then(|()| self.decision()))
    }

    fn decision(&mut self) -> Result<Decision, Error> {
        let propensity = self.table.number(self.propensity, &self.names.propensity)?;
        if !(propensity > 0.0 && propensity <= 1.0) {
            let reason = format!("{} {propensity} is not in (0, 1]", self.names.propensity);
            return Err(self.table.wrong(reason));
        }
        let reward = self.table.number(self.reward, &self.names.reward)?;
        let name = self.table.cell(self.action).len();
        if name == 0 || name > NAME_BYTES_MAX {
            return Err(self.table.wrong(format!("an action's name of {name} bytes")));
        }
        for (into, column) in self.predictions.iter_mut().zip(&self.predicted) {
            *into = self.table.number(*column, "predicted reward")?;
        }
        Ok(Decision { action: 0, propensity, reward })
    }

    /// What each action is predicted to earn in the present decision; empty without such columns.
    #[must_use]
    pub fn predictions(&self) -> &[f64] {
        &self.predictions
    }

    /// How many columns the context has.
    #[must_use]
    pub fn context_width(&self) -> usize {
        self.context.len()
    }

    /// The present decision's context: the text of each column is a category.
    pub fn context(&self, into: &mut Vec<Feature>) {
        into.clear();
        into.extend(self.context.iter().zip(0..).map(|((column, hash), field)| {
            Feature::category(field, id(*hash, self.table.cell(*column)) as u32)
        }));
    }

    /// How far it was read.
    #[must_use]
    pub const fn position(&self) -> &Position {
        self.table.position()
    }
}

fn predicted<'a>(
    table: &'a Table,
    names: &'a Columns,
) -> impl Iterator<Item = (&'a str, usize)> + use<'a> {
    let columns = table.columns().iter().enumerate();
    columns.filter_map(|(index, name)| Some((name.strip_prefix(&names.predicted)?, index)))
}

/// The columns of the context, each with the hash of its name.
fn context(table: &Table, names: &Columns) -> Result<Vec<(usize, u64)>, Error> {
    let place = |name: &String| Ok((table.column(name)?, hash::stable(name.as_bytes())));
    let own = [&names.action, &names.propensity, &names.reward];
    let is_context = |name: &&String| !own.contains(name) && !name.starts_with(&names.predicted);
    let columns: Vec<_> = match names.context.is_empty() {
        true => table.columns().iter().filter(is_context).map(place).collect::<Result<_, _>>()?,
        false => names.context.iter().map(place).collect::<Result<_, Error>>()?,
    };
    let most = FeatureMap::FIELDS_MAX - 1;
    match columns.len() <= most {
        true => Ok(columns),
        false => Err(Error::shape(table.name(), format!("a context of more than {most} columns"))),
    }
}

/// A policy's probabilities of each action, row by row beside a log.
pub struct TargetFile {
    table: Table,
    columns: Vec<usize>,
    probabilities: Vec<f64>,
}

impl TargetFile {
    /// Opens a table with a column for each action, named as the action is.
    ///
    /// # Errors
    /// [`Error::File`], or [`Error::Shape`] where an action has no column.
    pub fn open(path: &Path, dialect: Dialect, actions: &Actions) -> Result<Self, Error> {
        let table = Table::open(path, dialect)?;
        let columns =
            actions.names().map(|name| table.column(&name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { table, probabilities: vec![0.0; columns.len()], columns })
    }

    /// The probabilities of the next row.
    ///
    /// # Errors
    /// [`Error::Line`] where they are no probabilities that add up to 1 (within 0.001);
    /// [`Error::Shape`] where there is no further row.
    pub fn advance(&mut self) -> Result<&[f64], Error> {
        match self.table.advance() {
            None => return Err(Error::shape(self.table.name(), "has fewer rows than the log")),
            Some(read) => read?,
        }
        for (into, column) in self.probabilities.iter_mut().zip(&self.columns) {
            *into = self.table.number(*column, "probability")?;
        }
        let sum: f64 = self.probabilities.iter().sum();
        if self.probabilities.iter().any(|share| *share < 0.0) || (sum - 1.0).abs() > 1e-3 {
            return Err(self.table.wrong(format!("probabilities below 0, or a sum of {sum}")));
        }
        Ok(&self.probabilities)
    }
}
